package incident_test

import (
	"errors"
	"testing"

	"github.com/hopwise/hopwise/internal/remedy"
	"github.com/hopwise/hopwise/internal/remedy/apply"
)

// A number that another rule of the network ACL has is neither taken nor
// given up.
func TestACLEntryConflict(t *testing.T) {
	r := newRig(t, "nacl-inbound-deny")
	version := r.apis.World.Version()
	taken := remedy.ACLEntry{ACL: "acl-0a1b2c3d4e5f60009", Number: 90, Protocol: "tcp", FromPort: 10250, ToPort: 10250, CIDR: "10.0.10.0/24"}
	for _, a := range []remedy.Action{remedy.CreateACLEntry{ACLEntry: taken}, remedy.DeleteACLEntry{ACLEntry: taken}} {
		if _, err := r.writer.Do(t.Context(), a); !errors.Is(err, apply.ErrConflict) {
			t.Errorf("%s: %v, want a conflict: rule 90 denies", a.Command(), err)
		}
	}
	if now := r.apis.World.Version(); now != version {
		t.Error("the world has changed")
	}
}
