package reach

import (
	"testing"

	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

func TestPolicyEngine(t *testing.T) {
	daemonSet := func(name string, args ...string) appsv1.DaemonSet {
		d := appsv1.DaemonSet{}
		d.Name = name
		d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "aws-node"}, {Name: "aws-eks-nodeagent", Args: args}}
		return d
	}
	addon := func(values string) []ekstypes.Addon {
		name := "vpc-cni"
		return []ekstypes.Addon{{AddonName: &name, ConfigurationValues: &values}}
	}
	for _, tt := range []struct {
		name   string
		sets   []appsv1.DaemonSet
		addons []ekstypes.Addon
		want   string
	}{
		{"agent on", []appsv1.DaemonSet{daemonSet("aws-node", "--enable-network-policy=true")}, nil, "VPC CNI"},
		{"agent off", []appsv1.DaemonSet{daemonSet("aws-node", "--enable-network-policy=false")}, nil, ""},
		{"agent off, add-on on but not rolled out", []appsv1.DaemonSet{daemonSet("aws-node", "--enable-network-policy=false")}, addon(`{"enableNetworkPolicy":"true"}`), ""},
		{"add-on alone", []appsv1.DaemonSet{daemonSet("aws-node")}, addon(`{"enableNetworkPolicy": true}`), "VPC CNI"},
		{"add-on in YAML", nil, addon(`enableNetworkPolicy: "true"`), "VPC CNI"},
		{"add-on says no", nil, addon(`{"enableNetworkPolicy":"false"}`), ""},
		{"calico beside it", []appsv1.DaemonSet{daemonSet("aws-node", "--enable-network-policy=false"), daemonSet("calico-node")}, nil, "Calico"},
		{"nothing", nil, nil, ""},
	} {
		if got := PolicyEngine(tt.sets, tt.addons); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
