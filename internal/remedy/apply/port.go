package apply

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/hopwise/hopwise/internal/remedy"
)

// setServicePort writes the whole list of ports with one of them changed: a
// merge patch has no way to name one item, and the version that guards it
// makes sure that the others are as they were read.
func (w *Writer) setServicePort(ctx context.Context, a remedy.SetServicePort, dry bool, r *Receipt) error {
	c, err := w.cluster(a)
	if err != nil {
		return err
	}
	services := c.CoreV1().Services(a.Namespace)
	now, err := services.Get(ctx, a.Service, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if a.Index >= len(now.Spec.Ports) || now.Spec.Ports[a.Index].Port != a.Port {
		return conflict(a, fmt.Sprintf("without port %d in the place where it was", a.Port))
	}
	is := leads(now.Spec.Ports[a.Index])
	switch is {
	case a.To:
		r.Already = true
		return nil
	case a.Before:
	default:
		return conflict(a, fmt.Sprintf("sending port %d to %s/%s", a.Port, is.TargetPort.String(), is.Protocol))
	}
	ports := slices.Clone(now.Spec.Ports)
	ports[a.Index].Protocol, ports[a.Index].TargetPort = corev1.Protocol(a.To.Protocol), a.To.TargetPort
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"ports": ports}})
	if err != nil {
		return fmt.Errorf("ports of Service %s/%s: %w", a.Namespace, a.Service, err)
	}
	if _, err := services.Patch(ctx, a.Service, types.MergePatchType, guarded(patch, now.ResourceVersion), metav1.PatchOptions{DryRun: dryRun(dry), FieldManager: manager}); err != nil {
		return err
	}
	r.Detail = fmt.Sprintf("spec.ports[%d]: %d → %s/%s becomes %d → %s/%s", a.Index,
		a.Port, a.Before.TargetPort.String(), a.Before.Protocol, a.Port, a.To.TargetPort.String(), a.To.Protocol)
	return nil
}

// leads is where a port leads, with the API's defaults.
func leads(p corev1.ServicePort) remedy.PortTarget {
	t := remedy.PortTarget{Protocol: string(cmp.Or(p.Protocol, corev1.ProtocolTCP)), TargetPort: p.TargetPort}
	if t.TargetPort == (intstr.IntOrString{}) {
		t.TargetPort = intstr.FromInt32(p.Port)
	}
	return t
}
