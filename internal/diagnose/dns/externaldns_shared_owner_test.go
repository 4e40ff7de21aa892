package dns

import (
	"fmt"
	"testing"
)

// threeTimes are three syncs that make the same changes.
func threeTimes(changes ...string) string {
	var all []string
	for _, clock := range []string{"08:57:12", "08:58:12", "08:59:12"} {
		for _, c := range changes {
			all = append(all, at(clock, "info", c))
		}
	}
	return logged(all...)
}

func TestSharedOwner(t *testing.T) {
	const (
		fights  = "dns/externaldns-shared-owner-id" + extDeployment
		makes   = "Desired change: CREATE shop.example.com A"
		deletes = "Desired change: DELETE stage.example.com A [Id: /hostedzone/Z0123456SHOPPUBLIC01]"
		took    = "2 record(s) in zone example.com. [Id: /hostedzone/Z0123456SHOPPUBLIC01] were successfully updated"
	)
	others := inZone(owned("stage.example.com", "shop", "ingress/stage/web", otherALB))
	second := `- metadata: {name: external-dns-two, namespace: external-dns}
  spec: {selector: {matchLabels: {app: two}}, template: {metadata: {labels: {app: two}}, spec: {containers: [{name: x, image: "bitnami/external-dns:0.15.0", args: [--source=crd, --provider=aws, --txt-owner-id=%s, --policy=sync]}]}}}
  status: {availableReplicas: 1}
`
	for _, x := range []variant{
		{name: "deletes the same again and again", overlay: threeTimes(deletes, took), want: []string{fights}, claim: `Another external-dns, not of this cluster, writes under owner id "shop" too: external-dns/external-dns deletes stage.example.com of the other`},
		{name: "makes the same again and again beside another's record", overlay: others + threeTimes(makes, took), want: []string{fights}, claim: "it deletes shop.example.com, which external-dns/external-dns makes again at every sync"},
		{name: "makes the same again and again, and nobody else's record is there", overlay: threeTimes(makes, took)},
		{name: "another's record, and no changes", overlay: others},
		{name: "an object that comes and goes", overlay: threeTimes("Desired change: CREATE stage.example.com A", deletes, took)},
		{name: "changes that are not made", overlay: others + threeTimes(makes, deletes)},
		{name: "a dry run", overlay: started("v0.19.0", nil, "--dry-run") + threeTimes(deletes, took)},
		{name: "twice is not often", overlay: logged(at("08:58:12", "info", deletes), at("08:58:12", "info", took), at("08:59:12", "info", deletes), at("08:59:12", "info", took))},
		{name: "some hours ago", overlay: logged(at("05:57:12", "info", deletes), at("05:58:12", "info", deletes), at("05:59:12", "info", deletes), at("08:59:12", "info", took))},
		{name: "addresses of both families in one sync", overlay: logged(at("08:59:12", "info", deletes), at("08:59:12", "info", "Desired change: DELETE stage.example.com AAAA"), at("08:59:12", "info", "Desired change: DELETE stage.example.com CNAME"), at("08:59:12", "info", took))},
		{name: "no registry", overlay: started("v0.19.0", []string{"--registry"}, "--registry=noop") + threeTimes(deletes, took)},
		{name: "in JSON", overlay: logged(`2026-01-15T08:57:12Z {"level":"info","msg":"`+deletes+`"}`, `2026-01-15T08:58:12Z {"level":"info","msg":"`+deletes+`"}`, `2026-01-15T08:59:12Z {"level":"info","msg":"`+deletes+`"}`, `2026-01-15T08:59:13Z {"level":"info","msg":"`+took+`"}`), want: []string{fights}, claim: "stage.example.com"},
		{name: "two of this cluster", overlay: started("v0.19.0", nil) + fmt.Sprintf(second, "shop") + threeTimes(makes, took), want: []string{fights}, claim: `external-dns/external-dns-two writes under owner id "shop" too`},
		{name: "two of this cluster with their own ids", overlay: started("v0.19.0", nil) + fmt.Sprintf(second, "two") + threeTimes(makes, took)},
	} {
		x.overlay = "base: base-externaldns\n" + x.overlay
		t.Run(x.name, x.check)
	}
}
