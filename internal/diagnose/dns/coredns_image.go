package dns

import (
	"regexp"
	"strconv"
	"strings"
)

// officialImage are the images of CoreDNS as its project, Kubernetes and AWS
// build it.
var officialImage = regexp.MustCompile(`(?:^|/)(?:eks/coredns|eks-distro/coredns/coredns|coredns/coredns|k8s\.gcr\.io/coredns)[:@]`)

// atLeast reports whether a version such as v1.13.1 is major.minor or newer.
// One that cannot be read is taken for new.
func atLeast(version string, want ...int) bool {
	parts := strings.Split(strings.TrimPrefix(version, "v"), ".")
	for i, w := range want {
		if i >= len(parts) {
			return true
		}
		n, err := strconv.Atoi(parts[i])
		if err != nil || n != w {
			return err != nil || n > w
		}
	}
	return true
}
