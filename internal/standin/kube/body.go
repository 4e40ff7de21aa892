package kube

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/hopwise/hopwise/internal/world"
)

// maxBody is the API server's own limit of a request body, in bytes.
const maxBody = 3 << 20

// decoder reads protobuf bodies of the types that the server knows.
var decoder = func() runtime.Decoder {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, appsv1.AddToScheme, networkingv1.AddToScheme, discoveryv1.AddToScheme,
		autoscalingv1.AddToScheme, autoscalingv2.AddToScheme, policyv1.AddToScheme, rbacv1.AddToScheme, authorizationv1.AddToScheme, authenticationv1.AddToScheme} {
		if err := add(scheme); err != nil {
			panic(fmt.Sprintf("kube: scheme: %v", err)) // a bug: the types are fixed
		}
	}
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	return protobuf.NewSerializer(scheme, scheme)
}()

// raw returns the body of c and its media type.
func (c *call) raw() (body []byte, mediaType string, err error) {
	body, err = io.ReadAll(c.r.Body)
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return nil, "", apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("limit is %d", tooLarge.Limit))
	}
	if err != nil {
		return nil, "", apierrors.NewBadRequest("read body: " + err.Error())
	}
	mediaType, _, err = mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil {
		mediaType = "application/json" // as the API server takes a missing one
	}
	return body, mediaType, nil
}

// body decodes the body of c into a document.
func (c *call) body() (world.Doc, error) {
	body, mediaType, err := c.raw()
	if err != nil {
		return nil, err
	}
	return parseBody(body, mediaType)
}

func parseBody(body []byte, mediaType string) (world.Doc, error) {
	switch mediaType {
	case "application/json":
		return parseDoc(body)
	case "application/yaml":
		return parseYAML(body)
	case "application/vnd.kubernetes.protobuf":
		return parseProtobuf(body)
	}
	return nil, unsupported("application/json", "application/yaml", "application/vnd.kubernetes.protobuf")
}

func unsupported(supported ...string) error {
	return statusError(http.StatusUnsupportedMediaType, metav1.StatusReasonUnsupportedMediaType,
		"the body of the request was in an unknown format - accepted media types include: "+strings.Join(supported, ", "))
}

func parseDoc(body []byte) (world.Doc, error) {
	var doc world.Doc
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, apierrors.NewBadRequest("couldn't get version/kind; json parse error: " + err.Error())
	}
	if doc == nil {
		return nil, apierrors.NewBadRequest("couldn't get version/kind; the body holds no object")
	}
	return doc, nil
}

func parseYAML(body []byte) (world.Doc, error) {
	b, err := yaml.YAMLToJSON(body)
	if err != nil {
		return nil, apierrors.NewBadRequest("error parsing YAML: " + err.Error())
	}
	return parseDoc(b)
}

func parseProtobuf(body []byte) (world.Doc, error) {
	obj, gvk, err := decoder.Decode(body, nil, nil)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	obj.GetObjectKind().SetGroupVersionKind(*gvk)
	return parseDoc(mustJSON(obj))
}

// conform checks that d is what its type allows. A field that the type does
// not have is refused, warned of or left out, as fieldValidation says.
func (c *call) conform(d world.Doc) (world.Doc, error) {
	if c.res.typed == nil {
		return d, nil
	}
	typed := c.res.typed()
	unknown, err := kjson.UnmarshalStrict(mustJSON(d), typed)
	if err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("%s in version %q cannot be handled as a %s: %v", c.res.kind, c.res.version, c.res.kind, err))
	}
	if len(unknown) == 0 {
		return d, nil
	}
	if c.query.Get("fieldValidation") == "Strict" {
		return nil, apierrors.NewBadRequest("strict decoding error: " + errors.Join(unknown...).Error())
	}
	if c.query.Get("fieldValidation") != "Ignore" {
		for _, u := range unknown {
			c.w.Header().Add("Warning", fmt.Sprintf("299 - %q", u.Error()))
		}
	}
	return parseDoc(mustJSON(typed))
}

// checkBody refuses an object of another type, name or namespace than the
// path's, and completes what it leaves out.
func (c *call) checkBody(d world.Doc) error {
	if m, ok := d["metadata"]; ok && m != nil {
		if _, ok := m.(world.Doc); !ok {
			return apierrors.NewBadRequest(fmt.Sprintf("%s in version %q cannot be handled as a %s: json: cannot unmarshal metadata", c.res.kind, c.res.version, c.res.kind))
		}
	}
	if v := str(d, "apiVersion"); v != "" && v != c.res.apiVersion() {
		return apierrors.NewBadRequest(fmt.Sprintf("the API version in the data (%s) does not match the expected API version (%s)", v, c.res.apiVersion()))
	}
	if k := str(d, "kind"); k != "" && k != c.res.kind {
		return apierrors.NewBadRequest(fmt.Sprintf("the kind in the data (%s) does not match the expected kind (%s)", k, c.res.kind))
	}
	d["apiVersion"], d["kind"] = c.res.apiVersion(), c.res.kind
	return c.checkNames(metadata(d))
}

func (c *call) checkNames(m world.Doc) error {
	if ns := str(m, "namespace"); ns != "" && ns != c.namespace {
		return apierrors.NewBadRequest("the namespace of the provided object does not match the namespace sent on the request")
	}
	if c.namespace != "" {
		m["namespace"] = c.namespace
	}
	if name := str(m, "name"); c.name != "" && name != "" && name != c.name {
		return apierrors.NewBadRequest(fmt.Sprintf("the name of the object (%s) does not match the name on the URL (%s)", name, c.name))
	}
	if c.name != "" {
		m["name"] = c.name
	}
	return nil
}

// isJSONObject reports whether b begins as a JSON object does.
func isJSONObject(b []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(b), []byte("{")) }
