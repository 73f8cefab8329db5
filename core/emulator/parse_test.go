package emulator

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func FuzzParseName(f *testing.F) {
	f.Add("projects/p/locations/l/conversations/c/participants/x")
	f.Add("projects/p/conversations/c/participants/x")
	f.Add("projects//locations/l/conversations/c/participants/x")
	f.Fuzz(func(t *testing.T, name string) {
		r, err := parseName(name, "conversations", "participants")
		if err != nil {
			return
		}
		canonical := r.parent() + "/conversations/" + r.ids[0] + "/participants/" + r.ids[1]
		again, err := parseName(canonical, "conversations", "participants")
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("%q is read as %+v, its canonical form %q as %+v, %v", name, r, canonical, again, err)
		}
		if strings.Contains(name, "/locations/") && name != canonical {
			t.Errorf("%q has a location and is not canonical: %q", name, canonical)
		}
	})
}

func FuzzParseFilter(f *testing.F) {
	f.Add(`create_time > "2026-03-01T10:00:00Z" AND create_time_epoch_microseconds <= 12345`)
	f.Add("lifecycle_state=COMPLETED")
	f.Add("= =")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := parseFilter(text)
		if err != nil {
			return
		}
		var terms []string
		for _, c := range list {
			terms = append(terms, c.field+" "+c.op+` "`+c.value+`"`)
		}
		again, err := parseFilter(strings.Join(terms, " AND "))
		if err == nil && !reflect.DeepEqual(again, list) {
			t.Errorf("%q = %+v; written out and read again %+v", text, list, again)
		}
		if in, err := list.bounds(); err == nil && len(list) == 0 && !in(time.Now()) {
			t.Error("an empty filter excludes something")
		}
	})
}

func TestConfigReportsEveryProblem(t *testing.T) {
	err := Config{Projects: []string{"a b"}, Off: []Rule{"nonsense"}}.Validate()
	for _, want := range []string{"Projects: \"a b\"", "Locations is empty", "Profiles is empty", "Language", "Speed is 0", `no rule "nonsense"`,
		"Limits.Plain", "Limits.ChunkBytes", "Limits.SpeedUp", "Limits.Answers"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %q", err, want)
		}
	}
	if _, err := New(Config{}); err == nil {
		t.Error("New took an empty configuration")
	}
	if err := DefaultConfig().Validate(); err != nil {
		t.Errorf("the default configuration: %v", err)
	}
}
