package config

import (
	"fmt"
	"math/rand"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A conversionClass is one kind of difference between a service and what is
// read from its conversion, although the conversion lost nothing. The table of
// docs/differences.md has its reason.
type conversionClass struct {
	name string
	is   func(path []Dialect, field string) bool
}

var conversionClasses = []conversionClass{
	{"rate of a wait service", func(path []Dialect, field string) bool { return field == "CPS" && leaves(path) }},
	{"name behind tcpmux", func(path []Dialect, field string) bool {
		return (field == "Name" || field == "ID") && leaves(path) && path[len(path)-1] == Xinetd
	}},
	{"what is logged", func(path []Dialect, field string) bool {
		return (field == "LogOnFailure" || field == "LogOnSuccess") && leaves(path)
	}},
}

// leaves reports whether a path goes from inetd.conf to another dialect and
// stays there.
func leaves(path []Dialect) bool { return path[0] == Inetd && path[len(path)-1] != Inetd }

// conversionSeed returns GOINETD_SEED, so that a failure can be repeated, or a
// fresh seed, and logs it.
func conversionSeed(t *testing.T) int64 {
	seed, err := strconv.ParseInt(os.Getenv("GOINETD_SEED"), 10, 64)
	if err != nil {
		seed = rand.Int63n(1e9)
	}
	t.Logf("GOINETD_SEED=%d", seed)
	return seed
}

// A hundred random configurations, converted to other dialects and back: where
// a conversion says that nothing is lost, the services are the same.
func TestDifferConversions(t *testing.T) {
	base := Options{Builtins: known, Services: "testdata/services"}
	seed := conversionSeed(t)
	count := map[string]int{}
	for i := range int64(100) {
		d := newDice(seed + i)
		from, text := Xinetd, ""
		if i%2 == 0 {
			text = d.xinetdConf()
		} else {
			from, text = Inetd, d.inetdConf()
		}
		o := base
		o.Dialect = from
		services, _ := Read("seed", text, o) // a service with a mistake is left out
		if from == Inetd && len(services) == 0 {
			t.Errorf("nothing is read of\n%s", text)
		}
		for _, path := range [][]Dialect{{from, from}, {from, TOML, from}, {from, TOML, TOML, from}, {from, Xinetd}, {from, Inetd, from}, {from, Xinetd, TOML, from}, {from, TOML}} {
			if problem := convertAlong(path, services, base, count); problem != "" {
				t.Errorf("GOINETD_SEED=%d: file %d: %s\n%s", seed, i, problem, text)
			}
		}
	}
	t.Logf("%v", count)
	if count["same"] < 200 {
		t.Errorf("too few conversions lose nothing: %v", count)
	}
}

// convertAlong converts services from dialect to dialect and returns what
// nothing explains.
func convertAlong(path []Dialect, services []*Service, base Options, count map[string]int) string {
	now := services
	for _, to := range path[1:] {
		text, lost := Write(to, now, base)
		if slices.ContainsFunc(lost, func(l Loss) bool { return !l.Extension }) {
			count["lost"]++
			return ""
		}
		o := base
		o.Dialect = to
		var problems []Problem
		if now, problems = Read("converted", text, o); Errors(problems) || len(now) != len(services) {
			return fmt.Sprintf("%v: %d services of %d, %v\n%s", path, len(now), len(services), problems, text)
		}
	}
	for i := range services {
		was, is := reflect.ValueOf(model(services[i])), reflect.ValueOf(model(now[i]))
		for _, field := range reflect.VisibleFields(was.Type()) {
			if !field.IsExported() || field.Anonymous { // the fields of what is embedded are visible
				continue
			}
			before, after := was.FieldByIndex(field.Index), is.FieldByIndex(field.Index)
			if reflect.DeepEqual(before.Interface(), after.Interface()) {
				continue
			}
			class := slices.IndexFunc(conversionClasses, func(c conversionClass) bool { return c.is(path, field.Name) })
			if class < 0 {
				return fmt.Sprintf("%v: service %s: %s was %+v, is %+v", path, services[i].ID, field.Name, before, after)
			}
			count[conversionClasses[class].name]++
		}
	}
	count["same"]++
	return ""
}

// The table of docs/differences.md and the classes have the same names.
func TestConversionDifferencesDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/differences.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## convert\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var documented, known []string
	for _, m := range regexp.MustCompile(`(?m)^\| ([^|]+) \|`).FindAllStringSubmatch(section, -1) {
		if m[1] != "class" && m[1][0] != '-' {
			documented = append(documented, m[1])
		}
	}
	for _, c := range conversionClasses {
		known = append(known, c.name)
	}
	slices.Sort(documented)
	slices.Sort(known)
	if !slices.Equal(documented, known) {
		t.Errorf("docs/differences.md has %q, the tests have %q", documented, known)
	}
}
