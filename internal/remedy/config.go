package remedy

import (
	"encoding/json"
	"fmt"
	"reflect"
)

// SetConfigMapKey replaces the text under one key of a ConfigMap, such as the
// Corefile of CoreDNS.
type SetConfigMapKey struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Key       string `json:"key"`
	From      string `json:"from,omitempty"` // "": the key is not there
	To        string `json:"to,omitempty"`   // "": the key goes
}

func (SetConfigMapKey) Type() string { return "set-configmap-key" }
func (a SetConfigMapKey) Command() string {
	return fmt.Sprintf("kubectl -n %s patch configmap %s --type merge -p %s", quote(a.Namespace), quote(a.Name), quote(string(a.Patch())))
}

// Patch is the JSON merge patch (RFC 7386) that performs a.
func (a SetConfigMapKey) Patch() []byte {
	var value any
	if a.To != "" {
		value = a.To
	}
	return mustJSON(map[string]any{"data": map[string]any{a.Key: value}})
}

// Diff shows the lines that change.
func (a SetConfigMapKey) Diff() string { return lineDiff(a.From, a.To) }
func (a SetConfigMapKey) Undo() Action {
	a.From, a.To = a.To, a.From
	return a
}
func (a SetConfigMapKey) Object() string {
	return "kube/configmaps/" + a.Namespace + "/" + a.Name
}
func (SetConfigMapKey) Permission() string { return "patch configmaps" }

// SetAddonConfiguration replaces the configuration of a managed EKS add-on.
// Its version and role stay, and so does what somebody changed in the cluster
// by hand (conflicts are resolved by PRESERVE).
type SetAddonConfiguration struct {
	Cluster string `json:"cluster"`
	Addon   string `json:"addon"`
	From    string `json:"from,omitempty"` // configurationValues, JSON; "": none
	To      string `json:"to,omitempty"`
	Role    string `json:"role,omitempty"` // ARN of the role of its service account: EKS takes it away unless it is named again
}

func (SetAddonConfiguration) Type() string { return "set-addon-configuration" }
func (a SetAddonConfiguration) Command() string {
	c := fmt.Sprintf("aws eks update-addon --cluster-name %s --addon-name %s --configuration-values %s --resolve-conflicts PRESERVE",
		quote(a.Cluster), quote(a.Addon), quote(a.Values()))
	if a.Role != "" {
		c += " --service-account-role-arn " + quote(a.Role)
	}
	return c
}

// Values is the configuration as EKS takes it: none is the empty object.
func (a SetAddonConfiguration) Values() string {
	if a.To == "" {
		return "{}"
	}
	return a.To
}

// Diff shows the fields that change, one line each.
func (a SetAddonConfiguration) Diff() string { return lineDiff(indented(a.From), indented(a.To)) }
func (a SetAddonConfiguration) Undo() Action {
	a.From, a.To = a.To, a.From
	return a
}
func (a SetAddonConfiguration) Object() string {
	return "eks/addons/" + a.Cluster + "/" + a.Addon
}
func (SetAddonConfiguration) Permission() string { return "eks:UpdateAddon" }

// SameConfiguration reports whether two texts configure an add-on alike. What
// is not JSON, as YAML can be, is compared as text.
func SameConfiguration(a, b string) bool {
	va, okA := configuration(a)
	vb, okB := configuration(b)
	return a == b || okA && okB && reflect.DeepEqual(va, vb)
}

func configuration(s string) (v any, ok bool) {
	if s == "" {
		s = "{}"
	}
	return v, json.Unmarshal([]byte(s), &v) == nil
}

// indented is JSON with one field a line, for a diff.
func indented(s string) string {
	v, ok := configuration(s)
	if !ok {
		return s
	}
	b, _ := json.MarshalIndent(v, "", "  ") // it was read as JSON just now
	return string(b)
}
