package kube

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/version"
)

// discovery answers the paths that tell what is served.
func (s *Server) discovery(c *call) error {
	path := strings.Trim(c.r.URL.Path, "/")
	switch path {
	case "healthz", "readyz", "livez":
		c.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(c.w, "ok")
		return nil
	case "version":
		writeJSON(c.w, http.StatusOK, s.version())
		return nil
	case "":
		writeJSON(c.w, http.StatusOK, metav1.RootPaths{Paths: []string{"/api", "/api/v1", "/apis", "/healthz", "/openapi/v3", "/readyz", "/version"}})
		return nil
	case "api":
		writeJSON(c.w, http.StatusOK, metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"},
			ServerAddressByClientCIDRs: []metav1.ServerAddressByClientCIDR{{ClientCIDR: "0.0.0.0/0", ServerAddress: c.r.Host}}})
		return nil
	case "apis":
		writeJSON(c.w, http.StatusOK, metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}, Groups: groups()})
		return nil
	case "openapi/v3":
		writeJSON(c.w, http.StatusOK, openAPIIndex())
		return nil
	}
	if path, ok := strings.CutPrefix(path, "openapi/v3/"); ok {
		return c.groupVersionDoc(path, openAPI)
	}
	if g := groupNamed(strings.TrimPrefix(path, "apis/")); g != nil && strings.HasPrefix(path, "apis/") {
		g.TypeMeta = metav1.TypeMeta{Kind: "APIGroup", APIVersion: "v1"}
		writeJSON(c.w, http.StatusOK, g)
		return nil
	}
	return c.groupVersionDoc(path, resourceList)
}

// groupVersionDoc answers with what doc says of the group and version in a
// path such as "api/v1" or "apis/apps/v1".
func (c *call) groupVersionDoc(path string, doc func([]*resource) any) error {
	var served []*resource
	for _, r := range resources {
		if r.path() == path {
			served = append(served, r)
		}
	}
	if served == nil {
		return notServed()
	}
	writeJSON(c.w, http.StatusOK, doc(served))
	return nil
}

// path is where r's group and version are served.
func (r *resource) path() string {
	if r.group == "" {
		return "api/" + r.version
	}
	return "apis/" + r.group + "/" + r.version
}

// version says what the cluster of the world says: its EKS version.
func (s *Server) version() version.Info {
	minor := "37"
	if clusters, _ := s.world.List("eks/clusters"); len(clusters) > 0 {
		if v, _ := clusters[0]["version"].(string); strings.HasPrefix(v, "1.") {
			minor = strings.TrimPrefix(v, "1.")
		}
	}
	return version.Info{Major: "1", Minor: minor, GitVersion: fmt.Sprintf("v1.%s.0-eks-standin", minor),
		GitCommit: "0000000000000000000000000000000000000000", GitTreeState: "clean", BuildDate: "2026-01-01T00:00:00Z",
		GoVersion: "go1.26", Compiler: "gc", Platform: "linux/amd64"}
}

func groups() []metav1.APIGroup {
	var list []metav1.APIGroup
	for _, r := range resources {
		if r.group == "" || slices.ContainsFunc(list, func(g metav1.APIGroup) bool { return g.Name == r.group }) {
			continue
		}
		gv := metav1.GroupVersionForDiscovery{GroupVersion: r.apiVersion(), Version: r.version}
		list = append(list, metav1.APIGroup{Name: r.group, Versions: []metav1.GroupVersionForDiscovery{gv}, PreferredVersion: gv})
	}
	return list
}

func groupNamed(name string) *metav1.APIGroup {
	for _, g := range groups() {
		if g.Name == name {
			return &g
		}
	}
	return nil
}

func resourceList(served []*resource) any {
	list := metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: served[0].apiVersion()}
	for _, r := range served {
		list.APIResources = append(list.APIResources, metav1.APIResource{Name: r.plural, SingularName: r.name(), Namespaced: !r.cluster,
			Kind: r.kind, Verbs: r.verbs(), ShortNames: r.short, Categories: r.categories})
		for _, sub := range r.subs {
			sr := metav1.APIResource{Name: r.plural + "/" + sub, Namespaced: !r.cluster, Kind: r.kind, Verbs: r.subVerbs(sub)}
			if sub == "scale" {
				sr.Group, sr.Version, sr.Kind = "autoscaling", "v1", "Scale"
			}
			list.APIResources = append(list.APIResources, sr)
		}
	}
	return list
}

// openAPIIndex names the documents of openAPI.
func openAPIIndex() any {
	paths := map[string]any{}
	for _, r := range resources {
		paths[r.path()] = map[string]string{"serverRelativeURL": "/openapi/v3/" + r.path() + "?hash=1"}
	}
	return map[string]any{"paths": paths}
}

// openAPI is the least that kubectl asks of a schema: which kinds know the
// parameters dryRun and fieldValidation. With it kubectl leaves validation to
// the server.
func openAPI(served []*resource) any {
	param := func(name string) any {
		return map[string]any{"name": name, "in": "query", "schema": map[string]any{"type": "string", "uniqueItems": true}}
	}
	paths := map[string]any{}
	for _, r := range served {
		path := "/" + r.path()
		if !r.cluster {
			path += "/namespaces/{namespace}"
		}
		paths[path+"/"+r.plural+"/{name}"] = map[string]any{"patch": map[string]any{
			"parameters": []any{param("dryRun"), param("fieldValidation"), param("fieldManager")},
			"responses":  map[string]any{"200": map[string]any{"description": "OK"}},
			"x-kubernetes-group-version-kind": map[string]string{
				"group": r.group, "version": r.version, "kind": r.kind},
		}}
	}
	return json.RawMessage(mustJSON(map[string]any{"openapi": "3.0.0", "info": map[string]string{"title": "Kubernetes", "version": "v1"}, "paths": paths}))
}
