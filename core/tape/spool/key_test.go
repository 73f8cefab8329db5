package spool

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestKeyFile(t *testing.T) {
	dir := t.TempDir()
	spoolDir, path := filepath.Join(dir, "spool"), filepath.Join(dir, "keys", "spool.key")
	made, err := KeyFile(path, spoolDir)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("key file has mode %v, %v; want 0600", info.Mode(), err)
	}
	again, err := KeyFile(path, spoolDir)
	if err != nil || *again != *made {
		t.Fatalf("KeyFile() = another key, %v; want the same", err)
	}

	tests := []struct {
		name, path, want string
		prepare          func(path string) error
	}{
		{"inside the spool", filepath.Join(spoolDir, "key"), "put it elsewhere", nil},
		{"open to others", filepath.Join(dir, "open"), "chmod 600", func(p string) error { return os.WriteFile(p, []byte("x"), 0o644) }},
		{"empty", filepath.Join(dir, "empty"), "remove it", func(p string) error { return os.WriteFile(p, nil, 0o600) }},
		{"no key", filepath.Join(dir, "text"), "64 hexadecimal digits", func(p string) error { return os.WriteFile(p, []byte("secret"), 0o600) }},
		{"a folder", filepath.Join(dir, "keys"), "key file", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.prepare != nil {
				if err := tt.prepare(tt.path); err != nil {
					t.Fatal(err)
				}
			}
			_, err := KeyFile(tt.path, spoolDir)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("KeyFile() = %v; want %q", err, tt.want)
			}
		})
	}
}

func TestParseKey(t *testing.T) {
	if _, err := ParseKey(strings.Repeat("0f", KeyBytes) + "\n"); err != nil {
		t.Errorf("ParseKey() = %v; want nil", err)
	}
	for _, text := range []string{"", "0f", strings.Repeat("0f", KeyBytes+1), strings.Repeat("xx", KeyBytes)} {
		if _, err := ParseKey(text); err == nil {
			t.Errorf("ParseKey(%q) = nil; want an error", text)
		}
	}
}
