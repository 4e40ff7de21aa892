package approval

import (
	"slices"
	"time"

	"github.com/hopwise/hopwise/internal/remedy"
)

// A Policy says who may approve what. The zero Policy names nobody: under it
// the bot only reads.
type Policy struct {
	Team             string   // Slack team that approvals must come from, "" for the team of the run
	Channels         []string // ids of the channels in which approvals count; empty: all
	ReadOnlyClusters []string // clusters that the bot never changes

	rules [3]Rule // by remedy.Risk, as written; For fills in what is left out
}

// A Rule is what the policy says about one class of risk.
type Rule struct {
	Users           []string      // Slack ids of people who may approve
	Groups          []string      // Slack ids of user groups whose members may approve
	Approvals       int           // how many different people it takes
	AskerMayApprove bool          // may the person who asked be one of them?
	Expires         time.Duration // how long a proposal can be decided
}

// What holds where the policy file says nothing.
const (
	defaultExpires       = 30 * time.Minute
	minExpires           = time.Minute
	maxExpires           = 7 * 24 * time.Hour
	destructiveApprovals = 2 // and never less
)

// defaultRule is the rule of a class that the file does not mention.
func defaultRule(risk remedy.Risk) Rule {
	r := Rule{Approvals: 1, AskerMayApprove: risk == remedy.Safe, Expires: defaultExpires}
	if risk == remedy.Destructive {
		r.Approvals = destructiveApprovals
	}
	return r
}

// For returns the rule for a class of risk. A class that the policy does not
// mention, and one that does not exist, has a rule that lets nobody approve.
func (p *Policy) For(risk remedy.Risk) Rule {
	if p == nil || risk < remedy.Safe || risk > remedy.Destructive {
		return defaultRule(remedy.Destructive)
	}
	r := p.rules[risk]
	if r.Nobody() {
		return defaultRule(risk)
	}
	return r
}

// ReadOnly reports whether the bot must not change the named cluster: the
// policy says so, or it names nobody who could approve anything.
func (p *Policy) ReadOnly(cluster string) bool {
	if p == nil || slices.Contains(p.ReadOnlyClusters, cluster) {
		return true
	}
	return !slices.ContainsFunc(p.rules[:], func(r Rule) bool { return !r.Nobody() })
}

// Groups are the ids of all user groups that the policy names: whose members
// have to be known before a press can be judged.
func (p *Policy) Groups() []string {
	var groups []string
	if p != nil {
		for _, r := range p.rules {
			groups = append(groups, r.Groups...)
		}
	}
	slices.Sort(groups)
	return slices.Compact(groups)
}

// Prepare returns p as the policy wants it stored: with the hash of its plan,
// who may approve it, how many it takes, and when it expires after created.
func (p *Policy) Prepare(prop Proposal, created time.Time) Proposal {
	rule := p.For(prop.Remedy.Risk)
	prop.Hash = prop.Remedy.Hash()
	prop.MayApprove = rule.MayApprove()
	prop.NeedsVotes = rule.Approvals
	prop.Created = created
	prop.Expires = created.Add(rule.Expires)
	prop.State = Open
	return prop
}

// Nobody reports whether the rule lets nobody approve.
func (r Rule) Nobody() bool { return len(r.Users) == 0 && len(r.Groups) == 0 }

// MayApprove lists who may approve as Slack mentions: <@U1>, <!subteam^S1>.
func (r Rule) MayApprove() []string {
	var m []string
	for _, u := range r.Users {
		m = append(m, mention(u))
	}
	for _, g := range r.Groups {
		m = append(m, "<!subteam^"+g+">")
	}
	return m
}

// allows reports whether the rule names the person or one of the groups that
// hold the person.
func (r Rule) allows(who Person) bool {
	if slices.Contains(r.Users, who.ID) {
		return true
	}
	return slices.ContainsFunc(who.Groups, func(g string) bool { return slices.Contains(r.Groups, g) })
}

func mention(user string) string { return "<@" + user + ">" }
