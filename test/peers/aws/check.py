"""Exercises the AWS stand-in with boto3, a client that Hopwise does not share
any code with. boto3 reads element names exactly as they are written, signs by
itself, and pages and retries by its own rules.

It takes the endpoint from AWS_ENDPOINT_URL and the credentials and region
from the usual variables, and expects the world that TestBoto3 starts
(internal/standin/aws/peer_test.go). It prints one line per step and leaves
with a status other than 0 at the first thing that is not as it should be.
"""

import sys
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

ARN = "arn:aws:elasticloadbalancing:eu-west-1:444455556666:"
ALB, WEB = ARN + "loadbalancer/app/shop/1", ARN + "targetgroup/web/1"


def client(service, attempts=1, **more):
    return boto3.client(service, config=Config(retries={"total_max_attempts": attempts, "mode": "standard"}), **more)


def step(name):
    print("ok", name, flush=True)


def same(got, want, what):
    if got != want:
        sys.exit(f"{what}: got {got!r}, want {want!r}")


def fails(code, call, *args, **kwargs):
    """Requires that a call fails with an error code."""
    try:
        out = call(*args, **kwargs)
    except ClientError as e:
        same(e.response["Error"]["Code"], code, f"error code of {call.__name__}")
        return e
    sys.exit(f"{call.__name__}: answered {out!r}, want the error {code}")


def pages(cl, operation, field, **kwargs):
    """All objects, and how many pages they came in."""
    found, n = [], 0
    for page in cl.get_paginator(operation).paginate(**kwargs):
        found += page[field]
        n += 1
    return found, n


def reads(ec2):
    for operation, field, id_field, want in [
        ("describe_subnets", "Subnets", "SubnetId", ["subnet-1", "subnet-2", "subnet-3"]),
        ("describe_vpcs", "Vpcs", "VpcId", ["vpc-1"]),
        ("describe_route_tables", "RouteTables", "RouteTableId", ["rtb-1", "rtb-2"]),
        ("describe_security_groups", "SecurityGroups", "GroupId", ["sg-1", "sg-2"]),
        ("describe_network_interfaces", "NetworkInterfaces", "NetworkInterfaceId", ["eni-1", "eni-2"]),
        ("describe_network_acls", "NetworkAcls", "NetworkAclId", ["acl-1"]),
        ("describe_nat_gateways", "NatGateways", "NatGatewayId", ["nat-1", "nat-2"]),
        ("describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId", ["vpce-1"]),
        ("describe_internet_gateways", "InternetGateways", "InternetGatewayId", ["igw-1"]),
    ]:
        found, n = pages(ec2, operation, field)
        same([o[id_field] for o in found], want, operation)
        same(n, (len(want) + 1) // 2, f"pages of {operation}")  # the server gives two at a time
    found, _ = pages(ec2, "describe_instances", "Reservations")
    same([r["Instances"][0]["State"]["Name"] for r in found], ["running", "stopped"], "describe_instances")
    tags, _ = pages(ec2, "describe_tags", "Tags", Filters=[{"Name": "resource-type", "Values": ["subnet"]}])
    same([(t["ResourceId"], t["Key"]) for t in tags], [("subnet-1", "Name"), ("subnet-1", "tier"), ("subnet-2", "Name")], "describe_tags")
    rules, _ = pages(ec2, "describe_security_group_rules", "SecurityGroupRules", Filters=[{"Name": "group-id", "Values": ["sg-1"]}])
    same(sorted(r.get("CidrIpv4") or r["ReferencedGroupInfo"]["GroupId"] for r in rules), ["0.0.0.0/0", "10.0.0.0/16", "sg-2"], "describe_security_group_rules")
    step("describe every kind, in pages")


def details(ec2):
    eni = ec2.describe_network_interfaces(Filters=[{"Name": "addresses.private-ip-address", "Values": ["10.0.0.11"]}])["NetworkInterfaces"][0]
    same([a["PrivateIpAddress"] for a in eni["PrivateIpAddresses"]], ["10.0.0.10", "10.0.0.11"], "addresses")
    same((eni["Groups"][0]["GroupId"], eni["TagSet"], eni["Attachment"]["InstanceId"]), ("sg-1", [{"Key": "cluster", "Value": "shop"}], "i-1"), "interface")
    subnet = ec2.describe_subnets(Filters=[{"Name": "tag:Name", "Values": ["priv*"]}])["Subnets"][0]
    same((subnet["SubnetId"], subnet["AvailableIpAddressCount"], subnet["Tags"][0]["Key"]), ("subnet-1", 9, "Name"), "subnet")
    group = ec2.describe_security_groups(GroupIds=["sg-1"])["SecurityGroups"][0]
    same(group["Description"], "nodes", "description of a group")
    same(group["IpPermissions"][0]["UserIdGroupPairs"][0]["GroupId"], "sg-2", "group pair")
    same(group["IpPermissionsEgress"][0]["IpRanges"], [{"CidrIp": "0.0.0.0/0"}], "egress")
    table = ec2.describe_route_tables(RouteTableIds=["rtb-2"])["RouteTables"][0]
    same((table["Associations"][0]["SubnetId"], table["Routes"][1]["GatewayId"]), ("subnet-1", "igw-1"), "route table")
    acl = ec2.describe_network_acls()["NetworkAcls"][0]
    same((acl["IsDefault"], acl["Entries"][0]["RuleAction"], acl["Associations"][0]["SubnetId"]), (True, "allow", "subnet-1"), "network ACL")
    same(ec2.describe_vpc_attribute(VpcId="vpc-1", Attribute="enableDnsSupport")["EnableDnsSupport"], {"Value": False}, "DNS support")
    same(ec2.describe_vpc_attribute(VpcId="vpc-1", Attribute="enableDnsHostnames")["EnableDnsHostnames"], {"Value": True}, "DNS host names")
    step("fields of every kind")


def read_errors(ec2):
    fails("InvalidSubnetID.NotFound", ec2.describe_subnets, SubnetIds=["subnet-9"])
    fails("InvalidGroupId.Malformed", ec2.describe_security_groups, GroupIds=["nodes"])
    fails("NatGatewayNotFound", ec2.describe_nat_gateways, NatGatewayIds=["nat-9"])
    fails("InvalidParameterValue", ec2.describe_subnets, Filters=[{"Name": "vpcid", "Values": ["vpc-1"]}])
    fails("InvalidParameterCombination", ec2.describe_subnets, SubnetIds=["subnet-1"], MaxResults=5)
    fails("InvalidPaginationToken", ec2.describe_subnets, NextToken="nonsense")
    fails("InvalidAction", ec2.describe_volumes)
    step("errors of reads")


def rules(ec2):
    rule = [{"IpProtocol": "tcp", "FromPort": 53, "ToPort": 53, "UserIdGroupPairs": [{"GroupId": "sg-1"}]}]
    e = fails("DryRunOperation", ec2.authorize_security_group_ingress, GroupId="sg-2", IpPermissions=rule, DryRun=True)
    same(e.response["ResponseMetadata"]["HTTPStatusCode"], 412, "status of a dry run")
    out = ec2.authorize_security_group_ingress(GroupId="sg-2", IpPermissions=rule)
    same(out["Return"], True, "authorize")
    made = out["SecurityGroupRules"][0]
    same((made["FromPort"], made["ReferencedGroupInfo"]["GroupId"], made["IsEgress"]), (53, "sg-1", False), "the new rule")
    fails("InvalidPermission.Duplicate", ec2.authorize_security_group_ingress, GroupId="sg-2", IpPermissions=rule)
    fails("InvalidGroup.NotFound", ec2.authorize_security_group_ingress, GroupId="sg-9", IpPermissions=rule)
    gone = ec2.revoke_security_group_ingress(GroupId="sg-2", IpPermissions=rule)
    same(gone["RevokedSecurityGroupRules"][0]["SecurityGroupRuleId"], made["SecurityGroupRuleId"], "revoked rule")
    fails("InvalidPermission.NotFound", ec2.revoke_security_group_ingress, GroupId="sg-2", IpPermissions=rule)
    ec2.authorize_security_group_ingress(GroupId="sg-2", IpProtocol="udp", FromPort=53, ToPort=53, CidrIp="10.0.0.0/16")
    ec2.revoke_security_group_ingress(GroupId="sg-2", IpProtocol="udp", FromPort=53, ToPort=53, CidrIp="10.0.0.0/16")
    for port in range(60):
        ec2.authorize_security_group_ingress(GroupId="sg-2", IpProtocol="tcp", FromPort=port, ToPort=port, CidrIp="10.0.0.0/16")
    fails("RulesPerSecurityGroupLimitExceeded", ec2.authorize_security_group_ingress, GroupId="sg-2", IpProtocol="tcp", FromPort=99, ToPort=99, CidrIp="10.0.0.0/16")
    step("security group rules")


def routes(ec2):
    route = {"RouteTableId": "rtb-1", "DestinationCidrBlock": "0.0.0.0/0"}
    fails("InvalidNatGatewayID.NotFound", ec2.create_route, NatGatewayId="nat-9", **route)
    same(ec2.create_route(NatGatewayId="nat-1", **route)["Return"], True, "create_route")
    fails("RouteAlreadyExists", ec2.create_route, NatGatewayId="nat-1", **route)
    ec2.replace_route(GatewayId="igw-1", **route)
    same(ec2.describe_route_tables(Filters=[{"Name": "route.gateway-id", "Values": ["igw-1"]}])["RouteTables"][0]["RouteTableId"], "rtb-1", "replaced route")
    ec2.delete_route(**route)
    fails("InvalidRoute.NotFound", ec2.delete_route, **route)
    fails("Resource.AlreadyAssociated", ec2.associate_route_table, RouteTableId="rtb-1", SubnetId="subnet-1")
    made = ec2.associate_route_table(RouteTableId="rtb-2", SubnetId="subnet-3")
    same(made["AssociationState"]["State"], "associated", "state of an association")
    moved = ec2.replace_route_table_association(AssociationId=made["AssociationId"], RouteTableId="rtb-1")
    fails("InvalidAssociationID.NotFound", ec2.disassociate_route_table, AssociationId=made["AssociationId"])
    ec2.disassociate_route_table(AssociationId=moved["NewAssociationId"])
    step("routes and associations")


def network(ec2):
    ec2.create_tags(Resources=["subnet-2"], Tags=[{"Key": "kubernetes.io/role/elb", "Value": "1"}])
    same(ec2.describe_subnets(Filters=[{"Name": "tag-key", "Values": ["kubernetes.io/role/*"]}])["Subnets"][0]["SubnetId"], "subnet-2", "tagged subnet")
    ec2.delete_tags(Resources=["subnet-2"], Tags=[{"Key": "kubernetes.io/role/elb"}])
    same(ec2.describe_subnets(Filters=[{"Name": "tag-key", "Values": ["kubernetes.io/*"]}])["Subnets"], [], "untagged subnet")
    fails("InvalidID", ec2.create_tags, Resources=["subnet-9"], Tags=[{"Key": "a", "Value": "b"}])
    fails("InvalidSubnet.Range", ec2.create_subnet, VpcId="vpc-1", CidrBlock="100.64.0.0/18")
    block = ec2.associate_vpc_cidr_block(VpcId="vpc-1", CidrBlock="100.64.0.0/16")["CidrBlockAssociation"]
    same(block["CidrBlockState"]["State"], "associated", "block")
    subnet = ec2.create_subnet(VpcId="vpc-1", CidrBlock="100.64.0.0/18")["Subnet"]
    same(subnet["AvailableIpAddressCount"], 16379, "free addresses")
    fails("InvalidSubnet.Conflict", ec2.create_subnet, VpcId="vpc-1", CidrBlock="100.64.0.0/18")
    entry = {"NetworkAclId": "acl-1", "RuleNumber": 90, "Egress": False}
    ec2.create_network_acl_entry(Protocol="6", RuleAction="allow", CidrBlock="10.0.0.0/8", PortRange={"From": 1024, "To": 65535}, **entry)
    same(ec2.describe_network_acls()["NetworkAcls"][0]["Entries"][0]["PortRange"], {"From": 1024, "To": 65535}, "entry")
    ec2.delete_network_acl_entry(**entry)
    fails("InvalidNetworkAclEntry.NotFound", ec2.delete_network_acl_entry, **entry)
    step("tags, subnets, network ACLs")


def load_balancers(elb):
    found, n = pages(elb, "describe_load_balancers", "LoadBalancers", PaginationConfig={"PageSize": 1})
    same(([lb["LoadBalancerName"] for lb in found], n), (["shop", "edge"], 2), "load balancers")
    fails("LoadBalancerNotFound", elb.describe_load_balancers, Names=["none"])
    groups, _ = pages(elb, "describe_target_groups", "TargetGroups", LoadBalancerArn=ALB)
    same((groups[0]["TargetGroupName"], groups[0]["Matcher"]), ("web", {"HttpCode": "200"}), "target group")
    health = elb.describe_target_health(TargetGroupArn=WEB)["TargetHealthDescriptions"][0]
    same((health["Target"], health["TargetHealth"]["Reason"]), ({"Id": "10.0.0.11", "Port": 8080}, "Target.ResponseCodeMismatch"), "health")
    fails("TargetGroupNotFound", elb.describe_target_health, TargetGroupArn=ARN + "targetgroup/none/1")
    listener = elb.describe_listeners(LoadBalancerArn=ALB)["Listeners"][0]
    same(elb.describe_rules(ListenerArn=listener["ListenerArn"])["Rules"][0]["Priority"], "1", "rule")
    same(elb.describe_tags(ResourceArns=[ALB])["TagDescriptions"][0]["Tags"][0]["Value"], "shop", "tag of a load balancer")
    attributes = {a["Key"]: a["Value"] for a in elb.describe_load_balancer_attributes(LoadBalancerArn=ALB)["Attributes"]}
    same(attributes["idle_timeout.timeout_seconds"], "60", "idle timeout")
    attributes = {a["Key"]: a["Value"] for a in elb.describe_target_group_attributes(TargetGroupArn=WEB)["Attributes"]}
    same(attributes["deregistration_delay.timeout_seconds"], "300", "deregistration delay")
    elb.modify_target_group(TargetGroupArn=WEB, HealthCheckPath="/ready", Matcher={"HttpCode": "200-299"})
    group = elb.describe_target_groups(TargetGroupArns=[WEB])["TargetGroups"][0]
    same((group["HealthCheckPath"], group["Matcher"]["HttpCode"]), ("/ready", "200-299"), "changed group")
    step("load balancers")


def others(eks, sts, route53):
    same(sts.get_caller_identity()["Account"], "444455556666", "account")
    cluster = eks.describe_cluster(name="shop")["cluster"]
    same((cluster["resourcesVpcConfig"]["vpcId"], cluster["createdAt"].year), ("vpc-1", 2025), "cluster")
    same(eks.list_clusters()["clusters"], ["shop"], "clusters")
    addons, n = pages(eks, "list_addons", "addons", clusterName="shop", PaginationConfig={"PageSize": 1})
    same((addons, n), (["coredns", "vpc-cni"], 2), "addons")
    same(eks.describe_addon(clusterName="shop", addonName="vpc-cni")["addon"]["status"], "DEGRADED", "addon")
    same(eks.list_nodegroups(clusterName="shop")["nodegroups"], [], "node groups")
    fails("ResourceNotFoundException", eks.describe_cluster, name="none")
    fails("ResourceNotFoundException", eks.describe_nodegroup, clusterName="shop", nodegroupName="none")
    zones, n = pages(route53, "list_hosted_zones", "HostedZones", PaginationConfig={"PageSize": 1})
    same(([z["Name"] for z in zones], n), (["example.com.", "shop.internal."], 2), "zones")
    same(route53.get_hosted_zone(Id="Z2")["VPCs"], [{"VPCRegion": "eu-west-1", "VPCId": "vpc-1"}], "VPCs of a zone")
    records, n = pages(route53, "list_resource_record_sets", "ResourceRecordSets", HostedZoneId="Z1", PaginationConfig={"PageSize": 1})
    same(([r["Name"] for r in records], n), (["example.com.", "a.shop.example.com.", "a.shop.example.com.", "www.example.com."], 4), "records")
    by = route53.list_hosted_zones_by_vpc(VPCId="vpc-1", VPCRegion="eu-west-1")["HostedZoneSummaries"]
    same([(z["HostedZoneId"], z["Owner"].get("OwningService")) for z in by], [("Z2", None), ("Z3", "vpce.amazonaws.com")], "zones of a VPC")
    fails("NoSuchHostedZone", route53.get_hosted_zone, Id="Z9")
    profiles, n = pages(eks, "list_fargate_profiles", "fargateProfileNames", clusterName="shop", PaginationConfig={"PageSize": 1})
    same((profiles, n), (["batch", "system"], 2), "Fargate profiles")
    profile = eks.describe_fargate_profile(clusterName="shop", fargateProfileName="batch")["fargateProfile"]
    same(profile["selectors"], [{"namespace": "batch", "labels": {"size": "small"}}], "selectors of a Fargate profile")
    step("STS, EKS, Route 53")


def dns(resolver, quotas, ec2):
    rules, n = pages(resolver, "list_resolver_rules", "ResolverRules", PaginationConfig={"PageSize": 1})
    same(([r["DomainName"] for r in rules], n), (["corp.example.", "lab.example."], 2), "resolver rules")
    same(rules[0]["TargetIps"], [{"Ip": "192.0.2.53", "Port": 53}], "targets of a rule")
    follow = resolver.list_resolver_rule_associations(Filters=[{"Name": "VPCId", "Values": ["vpc-1"]}])["ResolverRuleAssociations"]
    same([a["ResolverRuleId"] for a in follow], ["rslvr-rr-1"], "rules of a VPC")
    ips, _ = pages(resolver, "list_resolver_endpoint_ip_addresses", "IpAddresses", ResolverEndpointId="rslvr-out-1", PaginationConfig={"PageSize": 1})
    same([a["Ip"] for a in ips], ["10.0.0.20", "10.0.1.20"], "addresses of an endpoint")
    groups = resolver.list_firewall_rule_group_associations(VpcId="vpc-1")["FirewallRuleGroupAssociations"]
    same([(g["FirewallRuleGroupId"], g["Priority"]) for g in groups], [("rslvr-frg-1", 101)], "firewall groups of a VPC")
    block, _ = pages(resolver, "list_firewall_domains", "Domains", FirewallDomainListId="rslvr-fdl-1")
    same(block, ["bad.example.", "worse.example."], "domains of a list")
    fails("AccessDeniedException", resolver.list_firewall_domains, FirewallDomainListId="rslvr-fdl-aws")
    fails("ResourceNotFoundException", resolver.get_resolver_rule, ResolverRuleId="none")
    fails("InvalidNextTokenException", resolver.list_resolver_rules, NextToken="nonsense")
    fails("UnknownOperationException", resolver.list_resolver_query_log_configs)
    same(quotas.get_service_quota(ServiceCode="vpc", QuotaCode="L-0EA8095F")["Quota"]["Value"], 120.0, "applied quota")
    fails("NoSuchResourceException", quotas.get_service_quota, ServiceCode="vpc", QuotaCode="L-2AFB9258")
    same(quotas.get_aws_default_service_quota(ServiceCode="vpc", QuotaCode="L-2AFB9258")["Quota"]["Value"], 5.0, "default quota")
    sets, _ = pages(ec2, "describe_dhcp_options", "DhcpOptions", Filters=[{"Name": "key", "Values": ["domain-name-servers"]}])
    same([v["Value"] for v in sets[0]["DhcpConfigurations"][0]["Values"]], ["10.0.0.53", "AmazonProvidedDNS"], "DHCP options")
    stale, _ = pages(ec2, "describe_stale_security_groups", "StaleSecurityGroupSet", VpcId="vpc-1")
    same(stale[0]["StaleIpPermissions"][0]["UserIdGroupPairs"], [{"GroupId": "sg-9", "PeeringStatus": "deleted"}], "stale group")
    step("Resolver, DNS Firewall, quotas, DHCP options")


def faults():
    """The server's world denies one permission and throttles another twice."""
    e = fails("UnauthorizedOperation", client("ec2", region_name="eu-west-1").describe_vpc_endpoints)
    same("Encoded authorization failure message" in str(e), True, "message of a refusal")
    fails("AccessDeniedException", client("eks").describe_addon, clusterName="shop", addonName="coredns")
    fails("AccessDenied", client("elbv2").describe_load_balancers)
    fails("RequestLimitExceeded", client("ec2").describe_subnets)
    start = time.monotonic()
    same(len(client("ec2", attempts=4).describe_subnets(SubnetIds=["subnet-1"])["Subnets"]), 1, "subnets after throttling")
    step(f"denied; throttled, then answered after {time.monotonic() - start:.1f} s")


def credentials():
    wrong = {"aws_access_key_id": "AKIDTEST", "aws_secret_access_key": "wrong"}
    fails("AuthFailure", client("ec2", **wrong).describe_vpcs)
    fails("SignatureDoesNotMatch", client("sts", **wrong).get_caller_identity)
    fails("SignatureDoesNotMatch", client("route53", **wrong).list_hosted_zones)
    fails("InvalidSignatureException", client("eks", **wrong).list_clusters)
    fails("InvalidSignatureException", client("route53resolver", **wrong).list_resolver_rules)
    other = {"aws_access_key_id": "AKIDOTHER", "aws_secret_access_key": "x"}
    fails("AuthFailure", client("ec2", **other).describe_vpcs)
    fails("InvalidClientTokenId", client("sts", **other).get_caller_identity)
    fails("UnrecognizedClientException", client("eks", **other).list_clusters)
    away = client("ec2", region_name="us-west-2")
    same(away.describe_vpcs()["Vpcs"], [], "VPCs of another region")
    fails("ResourceNotFoundException", client("eks", region_name="us-west-2").describe_cluster, name="shop")
    step("credentials and regions")


def main():
    if sys.argv[1:] == ["faults"]:
        faults()
        return
    ec2 = client("ec2")
    reads(ec2)
    details(ec2)
    read_errors(ec2)
    rules(ec2)
    routes(ec2)
    network(ec2)
    load_balancers(client("elbv2"))
    others(client("eks"), client("sts"), client("route53"))
    dns(client("route53resolver"), client("service-quotas"), ec2)
    credentials()


main()
