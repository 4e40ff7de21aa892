package l7

import (
	"encoding/json"
	"testing"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
	"github.com/hopwise/hopwise/internal/world"
)

// Once the actions of the first remedy are done, and the controllers have
// reacted, the finding is gone.
func TestRemedyClears(t *testing.T) {
	for _, name := range []string{"target-timeout-sg", "target-timeout-networkpolicy", "target-response-code-mismatch"} {
		t.Run(name, func(t *testing.T) {
			w, s := snapshot(t, name)
			f := run(s).Findings[0]
			if len(f.Remedies) == 0 || !f.Remedies[0].Runnable() {
				t.Fatal("nothing that the bot can perform")
			}
			for _, a := range f.Remedies[0].Actions {
				perform(t, w, a)
			}
			s, err := w.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			if still := run(s).Finding(f.Key()); still != nil {
				t.Errorf("still: %s", still.Claim)
			}
		})
	}
}

// perform makes the change in the world that the APIs would make.
func perform(t *testing.T, w *world.World, a remedy.Action) {
	t.Helper()
	var err error
	switch a := a.(type) {
	case remedy.AuthorizeIngress:
		err = w.Update(facts.SecurityGroups.Kind(), a.Group, func(d world.Doc) error {
			rules, _ := d["IpPermissions"].([]any)
			d["IpPermissions"] = append(rules, world.Doc{
				"IpProtocol": a.Protocol, "FromPort": a.FromPort, "ToPort": a.ToPort,
				"UserIdGroupPairs": []any{world.Doc{"GroupId": a.FromGroup}},
			})
			return nil
		})
	case remedy.Annotate:
		err = w.Update(facts.Kind("kube/"+a.Resource), a.Namespace+"/"+a.Name, func(d world.Doc) error {
			annotations, _ := d["metadata"].(world.Doc)["annotations"].(world.Doc)
			for k, v := range a.Values {
				annotations[k] = *v
			}
			return nil
		})
	case remedy.CreateNetworkPolicy:
		var doc world.Doc
		b, _ := json.Marshal(a.Manifest())
		if err = json.Unmarshal(b, &doc); err == nil {
			err = w.Create(facts.NetworkPolicies.Kind(), doc)
		}
	default:
		t.Fatalf("no way to perform %T here", a)
	}
	if err != nil {
		t.Fatal(err)
	}
}
