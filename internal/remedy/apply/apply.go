// Package apply performs approved remedies. It is the only writer: nothing
// else in the bot changes Kubernetes or AWS.
//
// Every action is checked against what is there first. Done already is a
// success that changes nothing, so that a step which runs again after a crash
// makes no change twice; changed by somebody else is ErrConflict, so that an
// approval never overwrites what nobody looked at.
package apply

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53resolver"
	"github.com/aws/smithy-go"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

// Errors of Do and DryRun; each is wrapped with a sentence for the person.
var (
	ErrConflict = errors.New("the object is no longer as it was when the fix was proposed")
	ErrDenied   = errors.New("the bot may not do this")
	ErrAway     = errors.New("the API for this change is not configured")
)

// A Receipt says what one action did.
type Receipt struct {
	Command string    `json:"command"`
	Object  string    `json:"object"`
	Already bool      `json:"already"` // it was so before: nothing was changed
	Detail  string    `json:"detail"`  // ids that the change made, or what the dry run would change
	At      time.Time `json:"at"`
}

// A Writer performs actions.
type Writer struct {
	kube     kubernetes.Interface
	ec2      *ec2.Client
	eks      *eks.Client
	route53  *route53.Client
	resolver *route53resolver.Client
}

// perCall bounds one API call of a change.
const perCall = 15 * time.Second

// New makes a Writer. Either config may be nil; actions that need it then
// fail with ErrAway.
func New(kube *rest.Config, cloud *aws.Config) (*Writer, error) {
	w := new(Writer)
	if kube != nil {
		c, err := kubernetes.NewForConfig(rest.CopyConfig(kube))
		if err != nil {
			return nil, fmt.Errorf("make the Kubernetes client: %w", err)
		}
		w.kube = c
	}
	if cloud != nil {
		cfg := cloud.Copy()
		cfg.Retryer = func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts = 4 })
		}
		if cfg.HTTPClient == nil {
			cfg.HTTPClient = awshttp.NewBuildableClient()
		}
		cfg.HTTPClient = plainBodies{cfg.HTTPClient}
		w.ec2, w.eks = ec2.NewFromConfig(cfg), eks.NewFromConfig(cfg)
		w.route53, w.resolver = route53.NewFromConfig(cfg), route53resolver.NewFromConfig(cfg)
	}
	return w, nil
}

// plainBodies hides the WriteTo of request bodies, whose end net/http can take
// for a failed write; it then closes the connection under the answer.
type plainBodies struct{ next aws.HTTPClient }

func (p plainBodies) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Body != http.NoBody {
		r = r.Clone(r.Context())
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	return p.next.Do(r)
}

// Do performs one action. It is done when the error is nil.
func (w *Writer) Do(ctx context.Context, a remedy.Action) (Receipt, error) {
	return w.run(ctx, a, false)
}

// DryRun asks the API what the action would do; nothing is changed. The
// receipt's Detail is a diff, or that the API would accept it.
func (w *Writer) DryRun(ctx context.Context, a remedy.Action) (Receipt, error) {
	return w.run(ctx, a, true)
}

func (w *Writer) run(ctx context.Context, a remedy.Action, dry bool) (Receipt, error) {
	ctx, cancel := context.WithTimeout(ctx, perCall)
	defer cancel()
	r := Receipt{Command: a.Command(), Object: a.Object(), At: time.Now().UTC()}
	var err error
	switch a := a.(type) {
	case remedy.AuthorizeIngress:
		err = w.authorize(ctx, a, dry, &r)
	case remedy.RevokeIngress:
		err = w.revoke(ctx, a, dry, &r)
	case remedy.CreateRoute:
		err = w.createRoute(ctx, a, dry, &r)
	case remedy.DeleteRoute:
		err = w.deleteRoute(ctx, a, dry, &r)
	case remedy.AssociateRouteTable:
		err = w.associate(ctx, a, dry, &r)
	case remedy.DisassociateRouteTable:
		err = w.disassociate(ctx, a, dry, &r)
	case remedy.TagResource:
		err = w.tag(ctx, a, dry, &r)
	case remedy.UntagResource:
		err = w.untag(ctx, a, dry, &r)
	case remedy.CreateACLEntry:
		err = w.createEntry(ctx, a, dry, &r)
	case remedy.DeleteACLEntry:
		err = w.deleteEntry(ctx, a, dry, &r)
	case remedy.SetSelector:
		err = w.setSelector(ctx, a, dry, &r)
	case remedy.SetServicePort:
		err = w.setServicePort(ctx, a, dry, &r)
	case remedy.Annotate:
		err = w.annotate(ctx, a, dry, &r)
	case remedy.ScaleDeployment:
		err = w.scale(ctx, a, dry, &r)
	case remedy.CreateNetworkPolicy:
		err = w.createPolicy(ctx, a, a.Manifest(), dry, &r)
	case remedy.DeleteNetworkPolicy:
		err = w.deletePolicy(ctx, a, remedy.CreateNetworkPolicy(a).Manifest(), dry, &r)
	case remedy.AuthorizeEgress:
		err = w.authorizeEgress(ctx, a, dry, &r)
	case remedy.RevokeEgress:
		err = w.revokeEgress(ctx, a, dry, &r)
	case remedy.SetVPCAttribute:
		err = w.setVPCAttribute(ctx, a, dry, &r)
	case remedy.ModifyVPCEndpointPrivateDNS:
		err = w.setPrivateDNS(ctx, a, dry, &r)
	case remedy.AssociateVPCWithZone:
		err = w.associateZone(ctx, a, dry, &r)
	case remedy.DisassociateVPCFromZone:
		err = w.disassociateZone(ctx, a, dry, &r)
	case remedy.AssociateResolverRule:
		err = w.associateRule(ctx, a, dry, &r)
	case remedy.DisassociateResolverRule:
		err = w.disassociateRule(ctx, a, dry, &r)
	case remedy.SetAddonConfiguration:
		err = w.setAddon(ctx, a, dry, &r)
	case remedy.SetConfigMapKey:
		err = w.setConfigMapKey(ctx, a, dry, &r)
	case remedy.RestartWorkload:
		err = w.restart(ctx, a, dry, &r)
	case remedy.SetDNSOption:
		err = w.setDNSOption(ctx, a, dry, &r)
	case remedy.SetEnv:
		err = w.setEnv(ctx, a, dry, &r)
	case remedy.SpreadReplicas:
		err = w.spread(ctx, a, dry, &r)
	case remedy.CreatePodDisruptionBudget:
		err = w.createBudget(ctx, a, a.Manifest(), dry, &r)
	case remedy.DeletePodDisruptionBudget:
		err = w.deleteBudget(ctx, a, a.Manifest(), dry, &r)
	default:
		panic(fmt.Sprintf("apply: no way to perform %T", a)) // a bug: the set of actions is closed
	}
	if r.Already {
		r.Detail = "was so already: nothing to change"
	}
	return r, explain(a, err)
}

// explain makes an API's error a sentence that says what to do.
func explain(a remedy.Action, err error) error {
	if err == nil || errors.Is(err, ErrConflict) || errors.Is(err, ErrAway) {
		return err
	}
	var api smithy.APIError
	switch {
	case apierrors.IsForbidden(err), errors.As(err, &api) && slices.Contains([]string{"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"}, api.ErrorCode()):
		return fmt.Errorf("%w: give its write role the permission %q", ErrDenied, missing(err, a))
	case apierrors.IsConflict(err):
		return fmt.Errorf("%s: %w", a.Object(), ErrConflict)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: no answer in %s; it is not known whether the change was made", a.Object(), perCall)
	}
	return fmt.Errorf("%s: %s", a.Object(), facts.Redact(err.Error()))
}

// refused is where AWS names the permission that a caller lacks.
var refused = regexp.MustCompile(`not authorized to perform: ([a-z0-9-]+:[A-Za-z0-9]+)`)

// missing is the permission that a refusal is about: an action looks before
// it changes, and either may be what is refused.
func missing(err error, a remedy.Action) string {
	if m := refused.FindStringSubmatch(err.Error()); m != nil {
		return m[1]
	}
	return a.Permission()
}

func conflict(a remedy.Action, is string) error {
	return fmt.Errorf("%s: %w: it is now %s; ask again for a new proposal", a.Object(), ErrConflict, is)
}

// code returns the AWS error code of err, "" when it is none.
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// dryOK turns EC2's answer to a dry run, which is always an error, into the
// answer that it means.
func dryOK(err error, dry bool, r *Receipt) error {
	if dry && code(err) == "DryRunOperation" {
		r.Detail = "EC2 dry run: would succeed"
		return nil
	}
	return err
}
