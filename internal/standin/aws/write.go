package aws

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/netip"
	"reflect"
	"strings"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/world"
)

// update changes one object of the world. Fields that T does not have stay as
// they are. The object must be one that c sees.
func update[T any](c *call, kind facts.Kind, id string, change func(*T) error) error {
	return c.server.world.Update(kind, id, func(d world.Doc) error {
		v, err := world.Decode[T](d)
		if err != nil {
			return err
		}
		if err := change(&v); err != nil {
			return err
		}
		typ := reflect.TypeFor[T]()
		maps.DeleteFunc(d, func(name string, _ any) bool {
			_, has := typ.FieldByNameFunc(func(field string) bool { return strings.EqualFold(field, name) })
			return has
		})
		maps.Copy(d, docOf(v))
		return nil
	})
}

// docOf is v, an SDK struct, as the AWS CLI prints it.
func docOf(v any) world.Doc { return plain(docStyle, v).(world.Doc) }

// madeID makes an id of the form that AWS gives, the same for the same parts,
// so that a demo that is run twice shows the same ids.
func madeID(prefix string, parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return prefix + hex.EncodeToString(sum[:])[:17]
}

// done is the answer of a write that tells nothing else.
var done = answer{{"return", true}}

// cidr reads an address range and brings it into its canonical form, as EC2
// does: 10.0.0.7/24 is 10.0.0.0/24.
func (c *call) cidr(s string, v6 bool) (string, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is6() != v6 || p.Addr().Zone() != "" {
		return "", c.invalid("CIDR block %s is malformed", s)
	}
	return p.Masked().String(), nil
}
