package aws

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/eks/types"

	"github.com/hopwise/hopwise/internal/facts"
)

var eksOps = map[string]op{
	"ListClusters": {run: listClusters}, "DescribeCluster": {run: describeCluster},
	"ListAddons": {run: listAddons}, "DescribeAddon": {run: describeAddon}, "UpdateAddon": updateAddon,
	"ListFargateProfiles": {run: listFargateProfiles}, "DescribeFargateProfile": {run: describeFargateProfile},
	"ListNodegroups": {run: listNodegroups}, "DescribeNodegroup": {run: describeNodegroup},
}

// routeEKS names the operation of a URL: /clusters/NAME/addons/NAME.
func routeEKS(c *call, method, path string) {
	parts := pathParts(path)
	c.action = method + " " + path
	if method == http.MethodPost && len(parts) == 5 && parts[0] == "clusters" && parts[2] == "addons" && parts[4] == "update" {
		c.path, c.action = parts[1:4], "UpdateAddon"
		return
	}
	if method != http.MethodGet || len(parts) == 0 || len(parts) > 4 || parts[0] != "clusters" {
		return
	}
	c.path = parts[1:]
	switch {
	case len(parts) == 1:
		c.action = "ListClusters"
	case len(parts) == 2:
		c.action = "DescribeCluster"
	case parts[2] == "addons":
		c.action = []string{"ListAddons", "DescribeAddon"}[len(parts)-3]
	case parts[2] == "fargate-profiles":
		c.action = []string{"ListFargateProfiles", "DescribeFargateProfile"}[len(parts)-3]
	case parts[2] == "node-groups":
		c.action = []string{"ListNodegroups", "DescribeNodegroup"}[len(parts)-3]
	}
}

// pathParts splits a path and takes the percent-encoding out of its parts.
func pathParts(path string) []string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	for i, p := range parts {
		if plain, err := url.PathUnescape(p); err == nil {
			parts[i] = plain
		}
	}
	return parts
}

func eksNotFound(what, name string) error {
	return fail(http.StatusNotFound, "ResourceNotFoundException", "No %s found for name: %s.", what, name)
}

func (c *call) cluster() (types.Cluster, error) {
	clusters, err := list[types.Cluster](c, facts.Clusters.Kind())
	if err != nil {
		return types.Cluster{}, err
	}
	for _, cl := range clusters {
		if cl.Name != nil && *cl.Name == c.path[0] {
			return cl, nil
		}
	}
	return types.Cluster{}, eksNotFound("cluster", c.path[0])
}

// addons are those of the cluster that the URL names.
func (c *call) addons() ([]types.Addon, error) {
	if _, err := c.cluster(); err != nil {
		return nil, err
	}
	addons, err := list[types.Addon](c, facts.Addons.Kind())
	return slices.DeleteFunc(slices.Clone(addons), func(a types.Addon) bool {
		return a.ClusterName != nil && *a.ClusterName != c.path[0]
	}), err
}

func listClusters(c *call) (answer, error) {
	clusters, err := list[types.Cluster](c, facts.Clusters.Kind())
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, cl := range clusters {
		names = append(names, *cl.Name)
	}
	return c.names("clusters", names)
}

func describeCluster(c *call) (answer, error) {
	cl, err := c.cluster()
	return answer{{"cluster", cl}}, err
}

func listAddons(c *call) (answer, error) {
	addons, err := c.addons()
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, a := range addons {
		names = append(names, *a.AddonName)
	}
	return c.names("addons", names)
}

func describeAddon(c *call) (answer, error) {
	addons, err := c.addons()
	if err != nil {
		return nil, err
	}
	for _, a := range addons {
		if *a.AddonName == c.path[2] {
			return answer{{"addon", a}}, nil
		}
	}
	return nil, fail(http.StatusNotFound, "ResourceNotFoundException", "No addon: %s found in cluster: %s", c.path[2], c.path[0])
}

// fargateProfiles are those of the cluster that the URL names.
func (c *call) fargateProfiles() ([]types.FargateProfile, error) {
	if _, err := c.cluster(); err != nil {
		return nil, err
	}
	profiles, err := list[types.FargateProfile](c, facts.FargateProfiles.Kind())
	return slices.DeleteFunc(slices.Clone(profiles), func(p types.FargateProfile) bool {
		return p.ClusterName != nil && *p.ClusterName != c.path[0]
	}), err
}

func listFargateProfiles(c *call) (answer, error) {
	profiles, err := c.fargateProfiles()
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, p := range profiles {
		names = append(names, *p.FargateProfileName)
	}
	return c.names("fargateProfileNames", names)
}

func describeFargateProfile(c *call) (answer, error) {
	profiles, err := c.fargateProfiles()
	if err != nil {
		return nil, err
	}
	for _, p := range profiles {
		if *p.FargateProfileName == c.path[2] {
			return answer{{"fargateProfile", p}}, nil
		}
	}
	return nil, eksNotFound("fargate profile", c.path[2])
}

// The world keeps no node groups, so there is none by any name.
func listNodegroups(c *call) (answer, error) {
	if _, err := c.cluster(); err != nil {
		return nil, err
	}
	return c.names("nodegroups", []string{})
}

func describeNodegroup(c *call) (answer, error) {
	if _, err := c.cluster(); err != nil {
		return nil, err
	}
	return nil, eksNotFound("node group", c.path[2])
}

// names answers with one page of names.
func (c *call) names(list string, names []string) (answer, error) {
	size, err := c.pageSize(c.params.at("maxResults"), 1, 100)
	if err != nil {
		return nil, err
	}
	part, next, err := pageOf(c, names, same, c.params.at("nextToken").value, size)
	return answer{{list, part}, {"nextToken", next}}, err
}
