package aws

import (
	"cmp"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/hopwise/hopwise/internal/facts"
)

var elbOps = map[string]op{
	"DescribeLoadBalancers":          {run: describeLoadBalancers, takes: []string{"LoadBalancerArns", "Names", "Marker", "PageSize"}},
	"DescribeTargetGroups":           {run: describeTargetGroups, takes: []string{"LoadBalancerArn", "TargetGroupArns", "Names", "Marker", "PageSize"}},
	"DescribeTargetHealth":           {run: describeTargetHealth, needs: []string{"TargetGroupArn"}, takes: []string{"Targets"}},
	"DescribeListeners":              {run: describeListeners, takes: []string{"LoadBalancerArn", "ListenerArns", "Marker", "PageSize"}},
	"DescribeRules":                  {run: describeRules, takes: []string{"ListenerArn", "RuleArns", "Marker", "PageSize"}},
	"DescribeTags":                   {run: describeELBTags, needs: []string{"ResourceArns"}},
	"DescribeLoadBalancerAttributes": {run: describeLoadBalancerAttributes, needs: []string{"LoadBalancerArn"}},
	"DescribeTargetGroupAttributes":  {run: describeTargetGroupAttributes, needs: []string{"TargetGroupArn"}},
	"ModifyTargetGroup": {run: modifyTargetGroup, write: true, needs: []string{"TargetGroupArn"}, takes: []string{
		"HealthCheckProtocol", "HealthCheckPort", "HealthCheckPath", "HealthCheckEnabled", "HealthCheckIntervalSeconds",
		"HealthCheckTimeoutSeconds", "HealthyThresholdCount", "UnhealthyThresholdCount", "Matcher",
	}},
}

// The errors of the objects that are not there.
var (
	noLoadBalancer = notThere{"LoadBalancerNotFound", "Load balancers"}
	noTargetGroup  = notThere{"TargetGroupNotFound", "Target groups"}
	noListener     = notThere{"ListenerNotFound", "Listeners"}
	noRule         = notThere{"RuleNotFound", "Rules"}
)

type notThere struct{ code, noun string }

func (n notThere) err(id string) error { return bad(n.code, "%s '[%s]' not found", n.noun, id) }

// pick returns the objects whose field is one of the call's values for a list
// parameter, or all when the call gives none. A value that no object has is
// an error.
func pick[T any](c *call, all []T, param, field string, missing notThere) ([]T, error) {
	wanted := c.params.at(param, "member").values()
	if len(wanted) == 0 {
		return all, nil
	}
	value := func(v T) string { return text(reflect.ValueOf(v).FieldByName(field)) }
	for _, id := range wanted {
		if !slices.ContainsFunc(all, func(v T) bool { return value(v) == id }) {
			return nil, missing.err(id)
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(v T) bool { return !slices.Contains(wanted, value(v)) }), nil
}

// elbPage answers with one page of a list.
func elbPage[T any](c *call, set string, list []T, field string) (answer, error) {
	size, err := c.pageSize(c.params.at("PageSize"), 1, 400)
	if err != nil {
		return nil, err
	}
	id := func(v T) string { return text(reflect.ValueOf(v).FieldByName(field)) }
	part, next, err := pageOf(c, list, id, c.params.at("Marker").value, size)
	return answer{{set, part}, {"NextMarker", next}}, err
}

func describeLoadBalancers(c *call) (answer, error) {
	lbs, err := list[types.LoadBalancer](c, facts.LoadBalancers.Kind())
	if err != nil {
		return nil, err
	}
	if lbs, err = pick(c, lbs, "LoadBalancerArns", "LoadBalancerArn", noLoadBalancer); err != nil {
		return nil, err
	}
	if lbs, err = pick(c, lbs, "Names", "LoadBalancerName", noLoadBalancer); err != nil {
		return nil, err
	}
	return elbPage(c, "LoadBalancers", lbs, "LoadBalancerArn")
}

// loadBalancer returns the load balancer with an ARN.
func (c *call) loadBalancer(arn string) (types.LoadBalancer, error) {
	lbs, err := list[types.LoadBalancer](c, facts.LoadBalancers.Kind())
	if err != nil {
		return types.LoadBalancer{}, err
	}
	for _, lb := range lbs {
		if *lb.LoadBalancerArn == arn {
			return lb, nil
		}
	}
	return types.LoadBalancer{}, noLoadBalancer.err(arn)
}

func (c *call) targetGroup(arn string) (types.TargetGroup, error) {
	tgs, err := list[types.TargetGroup](c, facts.TargetGroups.Kind())
	if err != nil {
		return types.TargetGroup{}, err
	}
	for _, tg := range tgs {
		if *tg.TargetGroupArn == arn {
			return tg, nil
		}
	}
	return types.TargetGroup{}, noTargetGroup.err(arn)
}

func describeTargetGroups(c *call) (answer, error) {
	tgs, err := list[types.TargetGroup](c, facts.TargetGroups.Kind())
	if err != nil {
		return nil, err
	}
	if tgs, err = pick(c, tgs, "TargetGroupArns", "TargetGroupArn", noTargetGroup); err != nil {
		return nil, err
	}
	if tgs, err = pick(c, tgs, "Names", "TargetGroupName", noTargetGroup); err != nil {
		return nil, err
	}
	if lb := c.params.at("LoadBalancerArn"); lb.set {
		if _, err := c.loadBalancer(lb.value); err != nil {
			return nil, err
		}
		tgs = slices.DeleteFunc(slices.Clone(tgs), func(tg types.TargetGroup) bool { return !slices.Contains(tg.LoadBalancerArns, lb.value) })
	}
	return elbPage(c, "TargetGroups", tgs, "TargetGroupArn")
}

func describeTargetHealth(c *call) (answer, error) {
	tg, err := c.targetGroup(c.params.at("TargetGroupArn").value)
	if err != nil {
		return nil, err
	}
	groups, err := list[facts.TargetHealth](c, facts.TargetHealths.Kind())
	if err != nil {
		return nil, err
	}
	found := []types.TargetHealthDescription{}
	for _, g := range groups {
		if g.TargetGroupArn == *tg.TargetGroupArn {
			found = append(found, g.TargetHealthDescriptions...)
		}
	}
	if wanted := c.params.at("Targets", "member").list(); len(wanted) > 0 {
		found = targetsOf(found, wanted)
	}
	return answer{{"TargetHealthDescriptions", found}}, nil
}

// targetsOf returns what is known of the wanted targets. One that is not
// registered is "unused", as AWS tells it.
func targetsOf(known []types.TargetHealthDescription, wanted []*param) []types.TargetHealthDescription {
	var found []types.TargetHealthDescription
	for _, p := range wanted {
		id, port := p.at("Id").value, p.at("Port").value
		i := slices.IndexFunc(known, func(d types.TargetHealthDescription) bool {
			return d.Target != nil && text(reflect.ValueOf(d.Target.Id)) == id && (port == "" || text(reflect.ValueOf(d.Target.Port)) == port)
		})
		if i >= 0 {
			found = append(found, known[i])
			continue
		}
		why := "Target is not registered to the target group"
		found = append(found, types.TargetHealthDescription{
			Target:       &types.TargetDescription{Id: &id},
			TargetHealth: &types.TargetHealth{State: types.TargetHealthStateEnumUnused, Reason: types.TargetHealthReasonEnumNotRegistered, Description: &why},
		})
	}
	return found
}

func describeListeners(c *call) (answer, error) {
	lb, named := c.params.at("LoadBalancerArn"), c.params.at("ListenerArns")
	if lb.given() == named.given() {
		return nil, c.invalid("Either listener ARNs or a load balancer ARN must be specified, and not both")
	}
	ls, err := list[types.Listener](c, "elbv2/listeners")
	if err != nil {
		return nil, err
	}
	if ls, err = pick(c, ls, "ListenerArns", "ListenerArn", noListener); err != nil {
		return nil, err
	}
	if lb.given() {
		if _, err := c.loadBalancer(lb.value); err != nil {
			return nil, err
		}
		ls = slices.DeleteFunc(slices.Clone(ls), func(l types.Listener) bool { return text(reflect.ValueOf(l.LoadBalancerArn)) != lb.value })
	}
	return elbPage(c, "Listeners", ls, "ListenerArn")
}

// describeRules lists the rules of a listener: those whose ARN is the
// listener's, with "listener-rule" for "listener", and an id.
func describeRules(c *call) (answer, error) {
	listener, named := c.params.at("ListenerArn"), c.params.at("RuleArns")
	if listener.given() == named.given() {
		return nil, c.invalid("Either rule ARNs or a listener ARN must be specified, and not both")
	}
	rules, err := list[types.Rule](c, "elbv2/rules")
	if err != nil {
		return nil, err
	}
	if rules, err = pick(c, rules, "RuleArns", "RuleArn", noRule); err != nil {
		return nil, err
	}
	if listener.given() {
		ls, err := list[types.Listener](c, "elbv2/listeners")
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(ls, func(l types.Listener) bool { return *l.ListenerArn == listener.value }) {
			return nil, noListener.err(listener.value)
		}
		prefix := strings.Replace(listener.value, ":listener/", ":listener-rule/", 1) + "/"
		rules = slices.DeleteFunc(slices.Clone(rules), func(r types.Rule) bool { return !strings.HasPrefix(*r.RuleArn, prefix) })
	}
	return elbPage(c, "Rules", rules, "RuleArn")
}

func describeELBTags(c *call) (answer, error) {
	tagged, err := list[types.TagDescription](c, "elbv2/tags")
	if err != nil {
		return nil, err
	}
	found := []types.TagDescription{}
	for _, arn := range c.params.at("ResourceArns", "member").values() {
		if err := c.elbResource(arn); err != nil {
			return nil, err
		}
		d := types.TagDescription{ResourceArn: &arn, Tags: []types.Tag{}}
		if i := slices.IndexFunc(tagged, func(t types.TagDescription) bool { return *t.ResourceArn == arn }); i >= 0 {
			d = tagged[i]
		}
		found = append(found, d)
	}
	return answer{{"TagDescriptions", found}}, nil
}

// elbResource returns the error of an ARN that names nothing. Listeners and
// rules can be tagged too, but the world need not hold them.
func (c *call) elbResource(arn string) error {
	var err error
	switch {
	case strings.Contains(arn, ":loadbalancer/"):
		_, err = c.loadBalancer(arn)
	case strings.Contains(arn, ":targetgroup/"):
		_, err = c.targetGroup(arn)
	case !strings.HasPrefix(arn, "arn:"):
		err = c.invalid("'%s' is not a valid ARN", arn)
	}
	return err
}

// An attribute is one of a list; load balancers and target groups have a type
// each for the same two fields.
type attribute struct{ Key, Value string }

// Attributes are those that AWS sets when nothing else is asked for
// (LoadBalancerAttribute, TargetGroupAttribute in the API reference).
var (
	albAttributes = []attribute{
		{"access_logs.s3.enabled", "false"}, {"deletion_protection.enabled", "false"}, {"idle_timeout.timeout_seconds", "60"},
		{"client_keep_alive.seconds", "3600"}, {"routing.http2.enabled", "true"}, {"routing.http.drop_invalid_header_fields.enabled", "false"},
		{"routing.http.desync_mitigation_mode", "defensive"}, {"routing.http.xff_header_processing.mode", "append"},
		{"load_balancing.cross_zone.enabled", "true"}, {"waf.fail_open.enabled", "false"},
	}
	nlbAttributes = []attribute{
		{"access_logs.s3.enabled", "false"}, {"deletion_protection.enabled", "false"}, {"load_balancing.cross_zone.enabled", "false"},
		{"dns_record.client_routing_policy", "any_availability_zone"},
	}
	targetAttributes = []attribute{
		{"deregistration_delay.timeout_seconds", "300"}, {"stickiness.enabled", "false"},
		{"load_balancing.cross_zone.enabled", "use_load_balancer_configuration"},
		{"target_group_health.dns_failover.minimum_healthy_targets.count", "1"},
		{"target_group_health.unhealthy_state_routing.minimum_healthy_targets.count", "1"},
	}
)

func describeLoadBalancerAttributes(c *call) (answer, error) {
	lb, err := c.loadBalancer(c.params.at("LoadBalancerArn").value)
	if err != nil {
		return nil, err
	}
	if lb.Type == types.LoadBalancerTypeEnumNetwork {
		return answer{{"Attributes", nlbAttributes}}, nil
	}
	return answer{{"Attributes", albAttributes}}, nil
}

func describeTargetGroupAttributes(c *call) (answer, error) {
	if _, err := c.targetGroup(c.params.at("TargetGroupArn").value); err != nil {
		return nil, err
	}
	return answer{{"Attributes", targetAttributes}}, nil
}

// modifyTargetGroup changes how a group's targets are checked.
func modifyTargetGroup(c *call) (answer, error) {
	arn := c.params.at("TargetGroupArn").value
	if _, err := c.targetGroup(arn); err != nil {
		return nil, err
	}
	if err := update(c, facts.TargetGroups.Kind(), arn, c.setHealthCheck); err != nil {
		return nil, err
	}
	tg, err := c.targetGroup(arn)
	return answer{{"TargetGroups", []types.TargetGroup{tg}}}, err
}

func (c *call) setHealthCheck(tg *types.TargetGroup) error {
	p := c.params
	tg.HealthCheckPath = cmp.Or(p.at("HealthCheckPath").ptr(), tg.HealthCheckPath)
	tg.HealthCheckPort = cmp.Or(p.at("HealthCheckPort").ptr(), tg.HealthCheckPort)
	tg.HealthCheckProtocol = cmp.Or(types.ProtocolEnum(p.at("HealthCheckProtocol").value), tg.HealthCheckProtocol)
	if m := p.at("Matcher"); m.given() {
		tg.Matcher = &types.Matcher{HttpCode: m.at("HttpCode").ptr(), GrpcCode: m.at("GrpcCode").ptr()}
	}
	if e := p.at("HealthCheckEnabled"); e.set {
		on, err := strconv.ParseBool(e.value)
		if err != nil {
			return c.invalid("HealthCheckEnabled must be true or false")
		}
		tg.HealthCheckEnabled = &on
	}
	if path := tg.HealthCheckPath; path != nil && !strings.HasPrefix(*path, "/") {
		return c.invalid("Health check path '%s' must begin with a '/' character", *path)
	}
	return c.setHealthNumbers(tg)
}

func (c *call) setHealthNumbers(tg *types.TargetGroup) error {
	for _, n := range []struct {
		name        string
		field       **int32
		least, most int32 // ModifyTargetGroup in the API reference
	}{
		{"HealthCheckIntervalSeconds", &tg.HealthCheckIntervalSeconds, 5, 300},
		{"HealthCheckTimeoutSeconds", &tg.HealthCheckTimeoutSeconds, 2, 120},
		{"HealthyThresholdCount", &tg.HealthyThresholdCount, 2, 10},
		{"UnhealthyThresholdCount", &tg.UnhealthyThresholdCount, 2, 10},
	} {
		v, err := c.int32(c.params.at(n.name))
		switch {
		case err != nil:
			return err
		case v == nil:
			continue
		case *v < n.least || *v > n.most:
			return c.invalid("%s must be between %d and %d", n.name, n.least, n.most)
		}
		*n.field = v
	}
	every, wait := tg.HealthCheckIntervalSeconds, tg.HealthCheckTimeoutSeconds
	if every != nil && wait != nil && *wait >= *every {
		return c.invalid("Health check timeout '%d' must be smaller than the interval '%d'", *wait, *every)
	}
	return nil
}
