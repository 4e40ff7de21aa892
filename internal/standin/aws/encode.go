package aws

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// An answer is an ordered list of elements. A value is a string, a number, a
// bool, an SDK struct, a list of those, or an answer.
type answer []elem

type elem struct {
	name  string // on the wire
	value any
}

// A style is how a protocol names and writes what SDK structs hold. The
// structs carry no wire names, so the names are rules with exceptions; a test
// compares them with the SDK's own deserialisers.
type style struct {
	field map[string]string           // "Type.Field" whose name is not as usual
	usual func(string) string         // the usual name of a field
	items map[string]string           // items of a list, by the list's name on the wire
	item  string                      // items of all other lists
	time  func(time.Time) (value any) // how times are written
}

var (
	ec2Style     = style{ec2Names, lowerFirst, nil, "item", millis}
	queryStyle   = style{nil, same, nil, "member", millis}
	eksStyle     = style{nil, lowerFirst, nil, "", epoch}
	route53Style = style{nil, same, route53Items, "member", millis}
	docStyle     = style{nil, same, nil, "", millis} // the AWS CLI's JSON
)

func same(s string) string       { return s }
func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }
func millis(t time.Time) any     { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
func epoch(t time.Time) any      { return float64(t.UnixMilli()) / 1000 }

func (s style) name(owner reflect.Type, field string) string {
	if n, ok := s.field[owner.Name()+"."+field]; ok {
		return n
	}
	return s.usual(field)
}

func (s style) itemOf(list string) string {
	if n, ok := s.items[list]; ok {
		return n
	}
	return s.item
}

// ec2Names are the fields of EC2's objects whose XML element is not the
// field's name with a small first letter.
var ec2Names = map[string]string{
	"DhcpConfiguration.Values":                         "valueSet",
	"DhcpOptions.DhcpConfigurations":                   "dhcpConfigurationSet",
	"DhcpOptions.Tags":                                 "tagSet",
	"DnsOptions.PrivateDnsSpecifiedDomains":            "privateDnsSpecifiedDomainSet",
	"Instance.BlockDeviceMappings":                     "blockDeviceMapping",
	"Instance.ElasticGpuAssociations":                  "elasticGpuAssociationSet",
	"Instance.ElasticInferenceAcceleratorAssociations": "elasticInferenceAcceleratorAssociationSet",
	"Instance.Licenses":                                "licenseSet",
	"Instance.NetworkInterfaces":                       "networkInterfaceSet",
	"Instance.PublicDnsName":                           "dnsName",
	"Instance.PublicIpAddress":                         "ipAddress",
	"Instance.SecondaryInterfaces":                     "secondaryInterfaceSet",
	"Instance.SecurityGroups":                          "groupSet",
	"Instance.State":                                   "instanceState",
	"Instance.StateTransitionReason":                   "reason",
	"Instance.Tags":                                    "tagSet",
	"InstanceNetworkInterface.Groups":                  "groupSet",
	"InstanceNetworkInterface.Ipv4Prefixes":            "ipv4PrefixSet",
	"InstanceNetworkInterface.Ipv6Addresses":           "ipv6AddressesSet",
	"InstanceNetworkInterface.Ipv6Prefixes":            "ipv6PrefixSet",
	"InstanceNetworkInterface.PrivateIpAddresses":      "privateIpAddressesSet",
	"InstanceSecondaryInterface.PrivateIpAddresses":    "privateIpAddressSet",
	"InternetGateway.Attachments":                      "attachmentSet",
	"InternetGateway.Tags":                             "tagSet",
	"IpPermission.UserIdGroupPairs":                    "groups",
	"NatGateway.AttachedAppliances":                    "attachedApplianceSet",
	"NatGateway.NatGatewayAddresses":                   "natGatewayAddressSet",
	"NatGateway.Tags":                                  "tagSet",
	"NetworkAcl.Associations":                          "associationSet",
	"NetworkAcl.Entries":                               "entrySet",
	"NetworkAcl.IsDefault":                             "default",
	"NetworkAcl.Tags":                                  "tagSet",
	"NetworkInterface.AssociatedSubnets":               "associatedSubnetSet",
	"NetworkInterface.Groups":                          "groupSet",
	"NetworkInterface.Ipv4Prefixes":                    "ipv4PrefixSet",
	"NetworkInterface.Ipv6Addresses":                   "ipv6AddressesSet",
	"NetworkInterface.Ipv6Prefixes":                    "ipv6PrefixSet",
	"NetworkInterface.PrivateIpAddresses":              "privateIpAddressesSet",
	"ProductCode.ProductCodeId":                        "productCode",
	"ProductCode.ProductCodeType":                      "type",
	"Reservation.Groups":                               "groupSet",
	"Reservation.Instances":                            "instancesSet",
	"RouteTable.Associations":                          "associationSet",
	"RouteTable.PropagatingVgws":                       "propagatingVgwSet",
	"RouteTable.Routes":                                "routeSet",
	"RouteTable.Tags":                                  "tagSet",
	"SecurityGroup.Description":                        "groupDescription",
	"SecurityGroup.Tags":                               "tagSet",
	"SecurityGroupRule.Tags":                           "tagSet",
	"StaleIpPermission.UserIdGroupPairs":               "groups",
	"Subnet.Tags":                                      "tagSet",
	"SubnetIpPrefixes.IpPrefixes":                      "ipPrefixSet",
	"Vpc.Tags":                                         "tagSet",
	"VpcEncryptionControl.Tags":                        "tagSet",
	"VpcEndpoint.DnsEntries":                           "dnsEntrySet",
	"VpcEndpoint.Groups":                               "groupSet",
	"VpcEndpoint.Ipv4Prefixes":                         "ipv4PrefixSet",
	"VpcEndpoint.Ipv6Prefixes":                         "ipv6PrefixSet",
	"VpcEndpoint.NetworkInterfaceIds":                  "networkInterfaceIdSet",
	"VpcEndpoint.PayerResponsibilities":                "payerResponsibilitySet",
	"VpcEndpoint.RouteTableIds":                        "routeTableIdSet",
	"VpcEndpoint.SubnetIds":                            "subnetIdSet",
	"VpcEndpoint.Tags":                                 "tagSet",
}

// route53Items are the items of Route 53's lists.
var route53Items = map[string]string{
	"HostedZones": "HostedZone", "HostedZoneSummaries": "HostedZoneSummary", "VPCs": "VPC",
	"ResourceRecordSets": "ResourceRecordSet", "ResourceRecords": "ResourceRecord", "NameServers": "NameServer",
}

// each calls do for the fields of a struct, or the elements of an answer,
// that have a value. An empty enumeration is none; an empty string behind a
// pointer is one.
func (s style) each(v reflect.Value, do func(name string, v reflect.Value)) {
	if ans, ok := v.Interface().(answer); ok {
		for _, e := range ans {
			if f, ok := present(reflect.ValueOf(e.value)); ok {
				do(e.name, f)
			}
		}
		return
	}
	for i := range v.NumField() {
		sf := v.Type().Field(i)
		if !sf.IsExported() {
			continue
		}
		if f, ok := present(v.Field(i)); ok {
			do(s.name(v.Type(), sf.Name), f)
		}
	}
}

// present follows pointers, and reports whether there is a value at the end.
func present(v reflect.Value) (reflect.Value, bool) {
	if !v.IsValid() || v.Kind() == reflect.String && v.Len() == 0 {
		return v, false
	}
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return v, false
		}
		v = v.Elem()
	}
	if k := v.Kind(); (k == reflect.Slice || k == reflect.Map) && v.IsNil() {
		return v, false
	}
	return v, true
}

func isStruct(v reflect.Value) bool {
	_, ans := v.Interface().(answer)
	_, at := v.Interface().(time.Time)
	return ans || v.Kind() == reflect.Struct && !at
}

// xmlDocument writes an answer as XML under a root element.
func xmlDocument(s style, root, namespace string, ans answer) []byte {
	var b bytes.Buffer
	b.WriteString(xml.Header)
	b.WriteString("<" + root)
	if namespace != "" {
		b.WriteString(` xmlns="` + namespace + `"`)
	}
	b.WriteString(">")
	s.each(reflect.ValueOf(ans), func(name string, v reflect.Value) { s.xml(&b, name, v) })
	b.WriteString("</" + root + ">")
	return b.Bytes()
}

func (s style) xml(b *bytes.Buffer, name string, v reflect.Value) {
	b.WriteString("<" + name + ">")
	switch {
	case isStruct(v):
		s.each(v, func(name string, f reflect.Value) { s.xml(b, name, f) })
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			if item, ok := present(v.Index(i)); ok {
				s.xml(b, s.itemOf(name), item)
			}
		}
	case v.Kind() == reflect.Map:
		for _, k := range slices.Sorted(maps.Keys(v.Interface().(map[string]string))) {
			entry := answer{{"key", k}, {"value", v.MapIndex(reflect.ValueOf(k)).String()}}
			s.xml(b, "entry", reflect.ValueOf(entry))
		}
	default:
		xml.EscapeText(b, []byte(s.text(v))) // a Buffer never fails
	}
	b.WriteString("</" + name + ">")
}

func (s style) text(v reflect.Value) string {
	if t, ok := v.Interface().(time.Time); ok {
		return fmt.Sprint(s.time(t))
	}
	return fmt.Sprint(v.Interface())
}

// plain makes what encoding/json writes of v: an SDK struct, an answer, or a
// list of them.
func plain(s style, v any) any {
	f, ok := present(reflect.ValueOf(v))
	if !ok {
		return nil
	}
	return s.plain(f)
}

func (s style) plain(v reflect.Value) any {
	switch {
	case isStruct(v):
		m := map[string]any{}
		s.each(v, func(name string, f reflect.Value) { m[name] = s.plain(f) })
		return m
	case v.Kind() == reflect.Slice:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = s.plain(v.Index(i))
		}
		return list
	case v.Kind() == reflect.Map:
		m := map[string]any{}
		for k, f := range v.Seq2() {
			m[k.String()] = s.plain(f)
		}
		return m
	case v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface:
		return s.plain(v.Elem())
	}
	if t, ok := v.Interface().(time.Time); ok {
		return s.time(t)
	}
	return v.Interface()
}
