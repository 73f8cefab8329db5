package main

import (
	"errors"
	"testing"

	"github.com/patchbay/patchbay/core/emulator/hear"
)

func TestRecogniserNamed(t *testing.T) {
	for name, tc := range map[string]struct {
		name, recordings string
		want             hear.Recognizer
		usage            bool
	}{
		"the default one":      {name: "all"},
		"with more recordings": {name: "all", recordings: "folder"},
		"coded blocks alone":   {name: "coded", want: hear.Coded{}},
		"nothing":              {name: "none", want: hear.Deaf{}},
		"unknown":              {name: "best", usage: true},
		"deaf to recordings":   {name: "none", recordings: "folder", usage: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := recogniserNamed(tc.name, tc.recordings)
			if _, usage := errors.AsType[usageError](err); usage != tc.usage || got != tc.want {
				t.Errorf("recogniserNamed(%q, %q) = %v, %v; want %v, a usage error: %v", tc.name, tc.recordings, got, err, tc.want, tc.usage)
			}
		})
	}
}
