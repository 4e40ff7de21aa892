package slackui

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/slack-go/slack"

	"github.com/hopwise/hopwise/internal/approval"
)

// Person says what Slack knows of a user, and which of groups, by id, hold
// the user. Answers are kept for five minutes. An error means that it is not
// known: nobody may approve on it.
func (c *Client) Person(ctx context.Context, user string, groups ...string) (approval.Person, error) {
	u, err := c.people.get(user, func() (*slack.User, error) { return c.api.GetUserInfoContext(ctx, user) })
	if err != nil {
		return approval.Person{}, wrap("users.info", err)
	}
	p := approval.Person{
		ID: u.ID, Team: u.TeamID, Name: orElse(u.Profile.DisplayName, orElse(u.RealName, u.Name)),
		Guest: u.IsRestricted || u.IsUltraRestricted || u.IsStranger, // a stranger of another workspace has no more rights than a guest
		Bot:   u.IsBot || u.IsWorkflowBot || u.IsConnectorBot || u.ID == "USLACKBOT",
		Left:  u.Deleted,
	}
	for _, g := range groups {
		members, err := c.members(ctx, g)
		if err != nil {
			return approval.Person{}, err
		}
		if slices.Contains(members, user) {
			p.Groups = append(p.Groups, g)
		}
	}
	return p, nil
}

// members returns the users of a group; nobody for a group that is gone.
func (c *Client) members(ctx context.Context, group string) ([]string, error) {
	members, err := c.groups.get(group, func() ([]string, error) {
		m, err := c.api.GetUserGroupMembersContext(ctx, group)
		if answer, ok := errors.AsType[slack.SlackErrorResponse](err); ok && (answer.Err == "no_such_subteam" || answer.Err == "subteam_not_found") {
			return nil, nil
		}
		return m, err
	})
	return members, wrap("usergroups.users.list", err)
}

// A cache keeps answers for a while. It is safe for use by several
// goroutines; two that ask at once may both make the call.
type cache[V any] struct {
	life time.Duration
	mu   *sync.Mutex
	kept map[string]kept[V]
}

type kept[V any] struct {
	value V
	until time.Time
}

// maxKept bounds a cache; beyond it, it starts anew.
const maxKept = 10_000

func newCache[V any](life time.Duration) cache[V] {
	return cache[V]{life: life, mu: &sync.Mutex{}, kept: map[string]kept[V]{}}
}

// get returns the kept answer for key, or makes the call. Errors are not kept.
func (c cache[V]) get(key string, call func() (V, error)) (V, error) {
	now := time.Now()
	c.mu.Lock()
	k, ok := c.kept[key]
	c.mu.Unlock()
	if ok && now.Before(k.until) {
		return k.value, nil
	}
	v, err := call()
	if err != nil {
		return v, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.kept) >= maxKept {
		clear(c.kept)
	}
	c.kept[key] = kept[V]{v, now.Add(c.life)}
	return v, nil
}
