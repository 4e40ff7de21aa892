package kube

import (
	"fmt"
	"net/http"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/hopwise/hopwise/internal/world"
)

// scale answers for the subresource of the things that have replicas.
func (s *Server) scale(c *call) error {
	if c.verb == "get" {
		d, err := s.world.Get(c.kind(), c.id())
		if err != nil {
			return c.worldError(err)
		}
		return c.writeScale(d)
	}
	edit, err := c.scaleEdit()
	if err != nil {
		return err
	}
	d, err := s.change(c, func(old world.Doc) (world.Doc, error) {
		before, err := c.scaleOf(old)
		if err != nil {
			return nil, err
		}
		next, err := edit(before)
		if err != nil {
			return nil, err
		}
		return c.rescale(old, next)
	})
	if err != nil {
		return err
	}
	return c.writeScale(d)
}

// scaleEdit returns the change to a Scale that c asks for.
func (c *call) scaleEdit() (func(world.Doc) (world.Doc, error), error) {
	if c.verb == "patch" {
		p, err := c.readPatch(func() any { return new(autoscalingv1.Scale) })
		if err != nil {
			return nil, err
		}
		if p.kind == types.ApplyPatchType {
			p.kind = types.MergePatchType
		}
		return p.on, nil
	}
	body, err := c.body()
	if err != nil {
		return nil, err
	}
	return func(world.Doc) (world.Doc, error) { return body, nil }, nil
}

// rescale gives old the replicas of a Scale, if it is one of this object.
func (c *call) rescale(old, scale world.Doc) (world.Doc, error) {
	typed, err := world.Decode[autoscalingv1.Scale](scale)
	if err != nil {
		return nil, apierrors.NewBadRequest("Scale in version \"v1\" cannot be handled as a Scale: " + err.Error())
	}
	if typed.Name != "" && typed.Name != c.name {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("the name of the object (%s) does not match the name on the URL (%s)", typed.Name, c.name))
	}
	if typed.Spec.Replicas < 0 {
		return nil, apierrors.NewInvalid(schema.GroupKind{Group: "autoscaling", Kind: "Scale"}, c.name,
			field.ErrorList{field.Invalid(field.NewPath("spec", "replicas"), typed.Spec.Replicas, "must be greater than or equal to 0")})
	}
	spec, ok := old["spec"].(world.Doc)
	if !ok {
		return nil, apierrors.NewInternalError(fmt.Errorf("%s %q has no spec", c.res.plural, c.name))
	}
	spec["replicas"] = typed.Spec.Replicas
	m := metadata(old) // change compares these with what is stored
	if typed.ResourceVersion != "" {
		m["resourceVersion"] = typed.ResourceVersion
	}
	if typed.UID != "" {
		m["uid"] = string(typed.UID)
	}
	return old, nil
}

func (c *call) writeScale(d world.Doc) error {
	scale, err := c.scaleOf(c.res.present(d))
	if err != nil {
		return err
	}
	writeJSON(c.w, http.StatusOK, scale)
	return nil
}

// scaleOf returns the Scale of an object.
func (c *call) scaleOf(d world.Doc) (world.Doc, error) {
	obj, err := world.Decode[struct {
		metav1.ObjectMeta `json:"metadata"`
		Spec              struct {
			Replicas *int32                `json:"replicas"`
			Selector *metav1.LabelSelector `json:"selector"`
		} `json:"spec"`
		Status struct {
			Replicas int32 `json:"replicas"`
		} `json:"status"`
	}](d)
	if err != nil {
		return nil, err
	}
	scale := autoscalingv1.Scale{
		TypeMeta: metav1.TypeMeta{Kind: "Scale", APIVersion: "autoscaling/v1"},
		ObjectMeta: metav1.ObjectMeta{Name: obj.Name, Namespace: obj.Namespace, UID: obj.UID,
			ResourceVersion: obj.ResourceVersion, CreationTimestamp: obj.CreationTimestamp},
		Spec:   autoscalingv1.ScaleSpec{Replicas: 1},
		Status: autoscalingv1.ScaleStatus{Replicas: obj.Status.Replicas},
	}
	if obj.Spec.Replicas != nil {
		scale.Spec.Replicas = *obj.Spec.Replicas
	}
	if sel, err := metav1.LabelSelectorAsSelector(obj.Spec.Selector); err == nil {
		scale.Status.Selector = sel.String()
	}
	return parseDoc(mustJSON(scale))
}
