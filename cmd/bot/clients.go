package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/standin"
)

// clients are the ways to the cluster. A way that is missing has its reason.
type clients struct {
	kube    *rest.Config
	kubeErr error
	aws     *aws.Config
	awsErr  error
	cluster string
}

// clusterFlags choose the cluster on the command line.
type clusterFlags struct {
	Kubeconfig string `help:"Kubeconfig file (default: KUBECONFIG, then ~/.kube/config, then the pod's service account)." placeholder:"FILE"`
	Context    string `help:"Context of the kubeconfig (default: its current one)." placeholder:"NAME"`
	Cluster    string `help:"Name of the EKS cluster (default: HOPWISE_CLUSTER, else what the kubeconfig tells)." placeholder:"NAME"`
}

// connect finds the ways to the real cluster. A kubeconfig that is named and
// wrong is an error; an API that is just not configured is a gap of the
// report.
func connect(ctx context.Context, s settings, f clusterFlags) (clients, error) {
	var c clients
	var told told
	var err error
	c.kube, told, err = kubeClient(f)
	var e exit
	if errors.As(err, &e) {
		return c, err
	}
	c.kubeErr = err
	c.cluster = first(f.Cluster, s.Cluster, told.cluster)
	c.aws, c.awsErr = awsClient(ctx, told.region)
	return c, nil
}

func kubeClient(f clusterFlags) (*rest.Config, told, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	if f.Kubeconfig != "" {
		rules.ExplicitPath = f.Kubeconfig
	}
	for _, path := range namedFiles(rules) {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil, told{}, usage("kubeconfig %s does not exist: correct KUBECONFIG or --kubeconfig", path)
		} else if err != nil {
			return nil, told{}, usage("kubeconfig %s cannot be read: %v", path, err)
		}
	}
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: f.Context})
	raw, err := loader.RawConfig()
	if err != nil {
		return nil, told{}, usage("no valid kubeconfig: %s", trouble(err))
	}
	name := first(f.Context, raw.CurrentContext)
	switch _, ok := raw.Contexts[name]; {
	case ok:
	case name != "":
		return nil, told{}, usage("kubeconfig has no context %q; it has: %s", name, strings.Join(facts.Nearest(name, keys(raw.Contexts), 5), ", "))
	case len(raw.Contexts) > 0:
		return nil, told{}, usage("kubeconfig has no current context: choose one with --context or `kubectl config use-context`; it has: %s", strings.Join(keys(raw.Contexts), ", "))
	}
	cfg, err := loader.ClientConfig()
	if clientcmd.IsEmptyConfig(err) || errors.Is(err, rest.ErrNotInCluster) {
		return nil, told{}, errors.New("no Kubernetes API is configured: set KUBECONFIG, or run in the cluster")
	}
	if err != nil {
		return nil, told{}, usage("no valid kubeconfig: %s", trouble(err))
	}
	return cfg, tell(raw, name), nil
}

// trouble is what is wrong with a kubeconfig, in one line. The decoder's own
// words for a file that is something else name Go types.
func trouble(err error) string {
	msg := strings.ReplaceAll(err.Error(), "\n", " ")
	if at, _, ok := strings.Cut(msg, "couldn't get version/kind"); ok {
		return at + "it is YAML, but no kubeconfig"
	}
	return msg
}

// namedFiles are the kubeconfig files that somebody named, as opposed to the
// default path, which need not exist.
func namedFiles(rules *clientcmd.ClientConfigLoadingRules) []string {
	if rules.ExplicitPath != "" {
		return []string{rules.ExplicitPath}
	}
	var named []string
	for _, p := range rules.Precedence {
		if p != "" && p != clientcmd.RecommendedHomeFile {
			named = append(named, p)
		}
	}
	if len(named) > 1 { // a list may name files that do not exist, as kubectl allows
		return nil
	}
	return named
}

// told is what a kubeconfig tells of the EKS cluster.
type told struct{ cluster, region string }

var (
	clusterARN = regexp.MustCompile(`^arn:aws[a-z-]*:eks:([a-z0-9-]+):\d+:cluster/(.+)$`) // aws eks update-kubeconfig
	eksctlName = regexp.MustCompile(`^(.+)\.([a-z]{2}(?:-[a-z]+)+-\d)\.eksctl\.io$`)      // eksctl utils write-kubeconfig
	endpoint   = regexp.MustCompile(`\.([a-z]{2}(?:-[a-z]+)+-\d)\.eks\.amazonaws\.com`)   // the API server's own address
)

func tell(raw api.Config, context string) told {
	ctx := raw.Contexts[context]
	if ctx == nil {
		return told{}
	}
	var t told
	if m := clusterARN.FindStringSubmatch(ctx.Cluster); m != nil {
		t = told{m[2], m[1]}
	} else if m := eksctlName.FindStringSubmatch(ctx.Cluster); m != nil {
		t = told{m[1], m[2]}
	}
	if user := raw.AuthInfos[ctx.AuthInfo]; t.cluster == "" && user != nil && user.Exec != nil {
		for _, flag := range []string{"--cluster-name", "-i"} { // aws eks get-token, aws-iam-authenticator
			if i := slices.Index(user.Exec.Args, flag); i >= 0 && i+1 < len(user.Exec.Args) {
				t.cluster = user.Exec.Args[i+1]
			}
		}
	}
	if cl := raw.Clusters[ctx.Cluster]; t.region == "" && cl != nil {
		if m := endpoint.FindStringSubmatch(cl.Server); m != nil {
			t.region = m[1]
		}
	}
	return t
}

func awsClient(ctx context.Context, region string) (*aws.Config, error) {
	cfg, err := config.LoadDefaultConfig(ctx, config.WithDefaultRegion(region))
	if err != nil {
		return nil, err
	}
	if cfg.Region == "" {
		return nil, errors.New("the AWS region is not known: set AWS_REGION")
	}
	return &cfg, nil
}

// demoClients are the ways to the stand-ins.
func demoClients(a *standin.APIs) clients {
	return clients{
		kube: &rest.Config{Host: a.KubeURL, BearerToken: standin.KubeToken},
		aws: &aws.Config{
			Region: a.World.Region, BaseEndpoint: &a.AWSURL,
			Credentials: credentials.NewStaticCredentialsProvider(standin.AccessKeyID, standin.SecretAccessKey, ""),
		},
		cluster: "shop",
	}
}

func first(s ...string) string {
	for _, v := range s {
		if v != "" {
			return v
		}
	}
	return ""
}

func keys[V any](m map[string]V) []string {
	var k []string
	for name := range m {
		k = append(k, name)
	}
	slices.Sort(k)
	return k
}
