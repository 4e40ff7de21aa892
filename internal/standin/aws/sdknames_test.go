package aws

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

// sdkNames reads out of an SDK client's source how it names things on the
// wire: "Type.Field" to the XML element, and "Type.Field[]" to the element of
// the list's items. The source is in the module cache whenever the tests can
// be built.
func sdkNames(t *testing.T, service string) map[string]string {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/aws/aws-sdk-go-v2/service/"+service).Output()
	if err != nil {
		t.Fatalf("find the module of %s: %v", service, err)
	}
	src, err := os.ReadFile(filepath.Join(string(bytes.TrimSpace(dir)), "deserializers.go"))
	if err != nil {
		t.Fatal(err)
	}
	return readNames(string(src))
}

var (
	funcHead  = regexp.MustCompile(`^func \w+_deserialize(?:Op)?Document(\w+)\(v \*(\*|\[\])(?:types\.)?(\w+), decoder smithyxml\.NodeDecoder\) error \{`)
	caseLine  = regexp.MustCompile(`case strings\.EqualFold\("(\w+)", t\.Name\.Local\)`)
	fieldLine = regexp.MustCompile(`(?:&|\t)sv\.(\w+)(?:, nodeDecoder| =)`)
	listLine  = regexp.MustCompile(`deserializeDocument(\w+)\(&sv\.(\w+), nodeDecoder\)`)
)

func readNames(src string) map[string]string {
	names, items, uses := map[string]string{}, map[string]string{}, map[string]string{}
	fn, typ, list, wire := "", "", false, ""
	for line := range strings.Lines(src) {
		if m := funcHead.FindStringSubmatch(line); m != nil {
			fn, list, typ, wire = m[1], m[2] == "[]", m[3], ""
			continue
		}
		if strings.HasPrefix(line, "}") {
			fn = ""
		}
		if fn == "" {
			continue
		}
		if m := caseLine.FindStringSubmatch(line); m != nil {
			wire = m[1]
			if list {
				items[fn] = wire
			}
		}
		if m := listLine.FindStringSubmatch(line); m != nil && wire != "" {
			uses[typ+"."+m[2]] = m[1]
		}
		if m := fieldLine.FindStringSubmatch(line); m != nil && wire != "" {
			names[typ+"."+m[1]] = wire
		}
	}
	for field, reader := range uses {
		if item, ok := items[reader]; ok {
			names[field+"[]"] = item
		}
	}
	return names
}

// reachable calls visit for every field of every struct that values of typ
// may hold.
func reachable(typ reflect.Type, seen map[reflect.Type]bool, visit func(reflect.Type, reflect.StructField)) {
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
		typ = typ.Elem()
	}
	if typ.Kind() != reflect.Struct || typ == reflect.TypeFor[time.Time]() || seen[typ] {
		return
	}
	seen[typ] = true
	for i := range typ.NumField() {
		if f := typ.Field(i); f.IsExported() && f.Name != "ResultMetadata" {
			visit(typ, f)
			reachable(f.Type, seen, visit)
		}
	}
}
