package l7

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

var targetResponseCodeMismatch = &diagnose.Check{
	ID:    "l7/target-response-code-mismatch",
	Title: "Health check gets an HTTP status that does not count as healthy",
	Doc: `A target group asks every target for one path and counts only the statuses of its matcher as healthy. The
AWS Load Balancer Controller's defaults are the path / and the status 200 (success codes 200-399 for an NLB's HTTP
check). An application that has nothing at /, redirects it, asks for a login there or routes by host name (the
check's Host header is the target's own address) is taken out of service although it works. While every target
fails, an ALB sends to all of them ("fail open"), and users see whatever the application answers; when some pass,
the failing ones get nothing.

Recognised by targets with the reason Target.ResponseCodeMismatch; the description names the statuses that came.
The group's path, port and matcher are compared with the pods' own readiness (or liveness) probe: the kubelet asks
that path all the time, so for pods whose containers are ready it is known to work.

Looks alike: Target.Timeout (no answer at all: a rule drops it, or the application is slow), Target.FailedHealthChecks
(refused or reset: nothing listens, or another protocol). Targets that are initial or draining are normal. With
externalTrafficPolicy Local, nodes without a pod of the Service fail by design. A status 5xx is the application's own
failure: another path would only hide it, so none is proposed.

Fixed by pointing the health check at the path of the probe, with an annotation on the Service (it wins over the
Ingress's). Success codes are never widened to 4xx: that hides real failures. Groups that the controller did not make
do not follow annotations; for them the AWS CLI command is printed.`,
	Needs:    groupNeeds,
	Wants:    groupWants,
	CausedBy: []string{"l4/service-endpoints-not-ready"},
	Sources: []string{
		"https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetHealth.html",
		"https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html",
		"https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/guide/ingress/annotations/#health-check",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		var found []diagnose.Finding
		for _, g := range groups(v) {
			if failing := g.failing(elbtypes.TargetHealthReasonEnumResponseCodeMismatch); len(failing) > 0 {
				found = append(found, responseCodeMismatch(g, failing))
			}
		}
		return found
	},
}

func responseCodeMismatch(g group, failing []target) diagnose.Finding {
	codes := statusCodes(failing)
	_, total := g.tally()
	f := diagnose.Finding{
		Severity: g.severity(),
		Subject:  g.ref(),
		Affects:  g.affects(),
		Claim: fmt.Sprintf("%d of %d targets of %s (%s) are unhealthy: the health check asks for %s and gets %s where %s counts as healthy; %s",
			len(failing), total, g.name, g.balancer(), g.healthPath(), orList(codes), g.matcher(), meaning(g, failing, codes)),
		Evidence: []diagnose.Evidence{
			{
				Fact:    g.ref().String() + " HealthCheckPath",
				Got:     fmt.Sprintf("%s %s on port %s, healthy with %s", g.tg.HealthCheckProtocol, g.healthPath(), str(g.tg.HealthCheckPort), g.matcher()),
				Want:    "a path that the application answers with " + g.matcher(),
				Command: "aws elbv2 describe-target-groups --target-group-arns " + g.arn,
			},
			{
				Fact:    "elbv2/target-health/" + g.arn,
				Got:     g.nameTarget(failing[0]) + ": " + str(failing[0].TargetHealth.Description),
				Want:    "healthy",
				Command: g.healthCommand(),
			},
		},
	}
	p := probeOf(g, failing)
	if p != nil {
		f.Evidence = append(f.Evidence, p.evidence())
	}
	f.Remedies = []remedy.Remedy{healthPathRemedy(g, p, codes)}
	return f
}

var codeList = regexp.MustCompile(`Health checks failed with these codes: \[([^\]]*)\]`)

// statusCodes are the statuses that the targets answered, in order.
func statusCodes(failing []target) []string {
	var codes []string
	for _, t := range failing {
		m := codeList.FindStringSubmatch(str(t.TargetHealth.Description))
		if m == nil {
			continue
		}
		for _, c := range strings.FieldsFunc(m[1], func(r rune) bool { return r < '0' || r > '9' }) {
			if !slices.Contains(codes, c) {
				codes = append(codes, c)
			}
		}
	}
	slices.SortFunc(codes, func(a, b string) int { return cmp.Or(len(a)-len(b), cmp.Compare(a, b)) })
	return codes
}

// meaning says in words why the application answers so.
func meaning(g group, failing []target, codes []string) string {
	pods := g.podsOf(failing)
	switch {
	case g.grpc():
		return "the status is a gRPC one: the service behind that method does not report itself serving"
	case serverErrors(codes) && len(pods) > 0 && !allServing(pods):
		return "the pods themselves are not ready, so the application is at fault and not the health check"
	case serverErrors(codes):
		return "the application itself fails on that path"
	case all(codes, "401", "403"):
		return "the path asks for credentials, and a health check sends none"
	case len(codes) > 0 && !slices.ContainsFunc(codes, func(c string) bool { return c[0] != '3' }):
		return "the path redirects, and a health check does not follow redirects"
	case all(codes, "404"):
		return "nothing is served at that path (or not under the target's address as host name)"
	default:
		return "the application does not accept the request there"
	}
}

// serverErrors reports whether any of codes is 5xx.
func serverErrors(codes []string) bool {
	return slices.ContainsFunc(codes, func(c string) bool { return len(c) == 3 && c[0] == '5' })
}

// all reports whether codes holds nothing but some of those, and something.
func all(codes []string, those ...string) bool {
	return len(codes) > 0 && !slices.ContainsFunc(codes, func(c string) bool { return !slices.Contains(those, c) })
}

func orList(codes []string) string {
	if len(codes) == 0 {
		return "another status"
	}
	return strings.Join(codes, " or ")
}

// healthPath is the path that the health check asks for.
func (g group) healthPath() string { return cmp.Or(str(g.tg.HealthCheckPath), "/") }

func (g group) grpc() bool { return g.tg.Matcher != nil && str(g.tg.Matcher.GrpcCode) != "" }

// matcher is what counts as healthy.
func (g group) matcher() string {
	if g.tg.Matcher == nil {
		return "200"
	}
	if g.grpc() {
		return "gRPC status " + str(g.tg.Matcher.GrpcCode)
	}
	return cmp.Or(str(g.tg.Matcher.HttpCode), "200")
}
