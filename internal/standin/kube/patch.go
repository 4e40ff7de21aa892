package kube

import (
	"encoding/json"
	"errors"
	"net/http"

	jsonpatch "github.com/evanphx/json-patch/v5"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/hopwise/hopwise/internal/world"
)

// maxPatchOperations is the API server's own limit of a JSON patch.
const maxPatchOperations = 10000

// patch changes an object by the patch in the body; an apply patch creates one
// that is not there.
func (s *Server) patch(c *call) error {
	p, err := c.readPatch(c.res.typed)
	if err != nil {
		return err
	}
	d, err := s.change(c, func(old world.Doc) (world.Doc, error) {
		next, err := p.on(old)
		if err != nil {
			return nil, err
		}
		return c.conformPatched(next)
	})
	if p.kind == types.ApplyPatchType && c.sub == "" && apierrors.IsNotFound(err) {
		return s.applyNew(c, p)
	}
	if err != nil {
		return err
	}
	return c.writeDoc(http.StatusOK, d)
}

// applyNew creates what an apply patch describes.
func (s *Server) applyNew(c *call, p *objectPatch) error {
	if !s.allowed("create", c.res, "") {
		return c.forbidden("create")
	}
	dry, err := c.dryRun(c.query["dryRun"])
	if err != nil {
		return err
	}
	d, err := parseDoc(p.body)
	if err != nil {
		return err
	}
	if d, err = s.createDoc(c, d, dry); err != nil {
		return err
	}
	return c.writeDoc(http.StatusCreated, d)
}

// conformPatched is conform for the result of a patch, which the API server
// calls invalid rather than a bad request.
func (c *call) conformPatched(d world.Doc) (world.Doc, error) {
	next, err := c.conform(d)
	if apierrors.IsBadRequest(err) && c.query.Get("fieldValidation") != "Strict" {
		return nil, invalidPatch(string(mustJSON(d)), err)
	}
	return next, err
}

func invalidPatch(value string, err error) error {
	return apierrors.NewInvalid(schema.GroupKind{}, "", field.ErrorList{field.Invalid(field.NewPath("patch"), value, err.Error())})
}

// An objectPatch is a patch that was read and not yet applied.
type objectPatch struct {
	kind  types.PatchType
	body  []byte
	typed func() any // nil: strategic merge is not known for the resource
}

// readPatch reads the body of c as a patch of objects of a type.
func (c *call) readPatch(typed func() any) (*objectPatch, error) {
	body, mediaType, err := c.raw()
	if err != nil {
		return nil, err
	}
	p := &objectPatch{kind: types.PatchType(mediaType), body: body, typed: typed}
	switch {
	case p.kind == types.ApplyYAMLPatchType:
		if p.body, err = yaml.YAMLToJSON(body); err != nil {
			return nil, apierrors.NewBadRequest("error decoding YAML: " + err.Error())
		}
		if c.query.Get("fieldManager") == "" {
			return nil, apierrors.NewInvalid(schema.GroupKind{Group: "meta.k8s.io", Kind: "PatchOptions"}, "",
				field.ErrorList{field.Required(field.NewPath("fieldManager"), "is required for apply patch")})
		}
	case p.kind == types.StrategicMergePatchType && typed == nil:
		return nil, unsupported(string(types.JSONPatchType), string(types.MergePatchType), string(types.ApplyYAMLPatchType))
	case p.kind == types.StrategicMergePatchType, p.kind == types.MergePatchType, p.kind == types.JSONPatchType:
	default:
		return nil, unsupported(string(types.JSONPatchType), string(types.MergePatchType), string(types.StrategicMergePatchType), string(types.ApplyYAMLPatchType))
	}
	if p.kind != types.JSONPatchType && !isJSONObject(p.body) {
		return nil, apierrors.NewBadRequest("error decoding patch: want an object")
	}
	if p.kind == types.ApplyYAMLPatchType {
		p.kind = types.ApplyPatchType
	}
	return p, nil
}

// on returns what p makes of old.
func (p *objectPatch) on(old world.Doc) (world.Doc, error) {
	before := mustJSON(old)
	after, err := p.bytes(before)
	var status apierrors.APIStatus
	switch {
	case errors.As(err, &status):
		return nil, err
	case errors.Is(err, jsonpatch.ErrTestFailed), errors.Is(err, jsonpatch.ErrMissing):
		return nil, statusError(http.StatusUnprocessableEntity, "Invalid", "the server rejected our request due to an error in our request: "+err.Error())
	case err != nil:
		return nil, apierrors.NewBadRequest("error applying patch: " + err.Error())
	}
	var next world.Doc
	if err := json.Unmarshal(after, &next); err != nil || next == nil {
		return nil, apierrors.NewBadRequest("error applying patch: the result is no object")
	}
	return next, nil
}

func (p *objectPatch) bytes(before []byte) ([]byte, error) {
	switch {
	case p.kind == types.JSONPatchType:
		ops, err := jsonpatch.DecodePatch(p.body)
		if err != nil {
			return nil, err
		}
		if len(ops) > maxPatchOperations {
			return nil, apierrors.NewRequestEntityTooLargeError("the patch has too many operations")
		}
		return ops.Apply(before)
	case p.kind == types.MergePatchType || p.typed == nil:
		return jsonpatch.MergePatch(before, p.body)
	}
	return strategicpatch.StrategicMergePatch(before, p.body, p.typed())
}
