package apply

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/hopwise/hopwise/internal/remedy"
)

func (w *Writer) setConfigMapKey(ctx context.Context, a remedy.SetConfigMapKey, dry bool, r *Receipt) error {
	c, err := w.cluster(a)
	if err != nil {
		return err
	}
	maps := c.CoreV1().ConfigMaps(a.Namespace)
	now, err := maps.Get(ctx, a.Name, metav1.GetOptions{})
	switch {
	case err != nil:
		return err
	case now.Data[a.Key] == a.To:
		r.Already = true
		return nil
	case now.Data[a.Key] != a.From:
		return conflict(a, "another text under "+a.Key)
	}
	if _, err := maps.Patch(ctx, a.Name, types.MergePatchType, guarded(a.Patch(), now.ResourceVersion), metav1.PatchOptions{DryRun: dryRun(dry), FieldManager: manager}); err != nil {
		return err
	}
	gone, come := 0, 0
	for line := range strings.Lines(a.Diff()) {
		if strings.HasPrefix(line, "-") {
			gone++
		} else {
			come++
		}
	}
	r.Detail = fmt.Sprintf("data.%s: lines removed %d, added %d", a.Key, gone, come)
	return nil
}

// setAddon asks EKS for an update, which it makes in the background; whether
// it came to be is seen by the checks that follow. EKS has no dry run: a dry
// one only reads.
func (w *Writer) setAddon(ctx context.Context, a remedy.SetAddonConfiguration, dry bool, r *Receipt) error {
	if w.eks == nil {
		return noCloud(a)
	}
	out, err := w.eks.DescribeAddon(ctx, &eks.DescribeAddonInput{ClusterName: &a.Cluster, AddonName: &a.Addon})
	if err != nil {
		return err
	}
	now := aws.ToString(out.Addon.ConfigurationValues)
	switch {
	case aws.ToString(out.Addon.ServiceAccountRoleArn) != a.Role:
		return conflict(a, "with the role "+cmp.Or(aws.ToString(out.Addon.ServiceAccountRoleArn), "of its nodes"))
	case remedy.SameConfiguration(now, a.To):
		r.Already = true
		return nil
	case !remedy.SameConfiguration(now, a.From):
		return conflict(a, "with another configuration")
	case out.Addon.Status == ekstypes.AddonStatusUpdating:
		return conflict(a, "being updated by somebody else")
	}
	if dry {
		r.Detail = "EKS has no dry run: the configuration is as it was proposed to change"
		return nil
	}
	in := &eks.UpdateAddonInput{ClusterName: &a.Cluster, AddonName: &a.Addon, ConfigurationValues: aws.String(a.Values()), ResolveConflicts: ekstypes.ResolveConflictsPreserve}
	if a.Role != "" {
		in.ServiceAccountRoleArn = &a.Role
	}
	done, err := w.eks.UpdateAddon(ctx, in)
	if code(err) == "ResourceInUseException" {
		return conflict(a, "being updated by somebody else")
	}
	if err != nil {
		return err
	}
	r.Detail = "EKS update " + aws.ToString(done.Update.Id) + ", " + string(done.Update.Status)
	return nil
}
