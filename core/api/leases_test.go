package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/patchbay/patchbay/core/call"
)

// A desktop leases a number for its conversation, and gives it back.
func TestLeasesOverHTTP(t *testing.T) {
	h := newHost(t)
	resp, body := h.do(h.request("POST", "/v1/leases", `{"pool":"desk","conversation":"CID-1","seconds":60,"attributes":{"case":"4711"}}`))
	var lease call.Lease
	if err := json.Unmarshal(body, &lease); err != nil || resp.StatusCode != http.StatusCreated || lease.Number != "+15550160" || lease.ID == "" {
		t.Fatalf("lease = %s %s (%v)", resp.Status, body, err)
	}
	if left := time.Until(lease.Expires); left <= 50*time.Second || left > time.Minute {
		t.Errorf("the lease expires in %v; want a minute", left)
	}
	var list LeaseList
	h.get("/v1/leases", &list)
	if len(list.Leases) != 1 || list.Leases[0].Attributes["case"] != "4711" {
		t.Errorf("leases = %s; want the one", pretty(list))
	}
	for _, tc := range []struct {
		name, body string
		status     int
		detail     string
	}{
		{"empty pool", `{"pool":"desk","conversation":"CID-2"}`, 409, "the first is free at"},
		{"no pool", `{"pool":"door","conversation":"CID-2"}`, 404, `no pool "door"`},
		{"no id", `{"pool":"desk","conversation":"4711"}`, 422, "no id of a conversation"},
		{"another project", `{"pool":"desk","conversation":"projects/x/conversations/CID-2"}`, 422, "no route leads"},
		{"too long", `{"pool":"desk","conversation":"CID-2","seconds":90000}`, 422, "body.seconds"},
		{"no conversation", `{"pool":"desk"}`, 422, "conversation"},
	} {
		resp, body := h.do(h.request("POST", "/v1/leases", tc.body))
		if got := problemOf(t, resp, body); resp.StatusCode != tc.status || !strings.Contains(got, tc.detail) {
			t.Errorf("%s: %s %q; want %d that says %q", tc.name, resp.Status, got, tc.status, tc.detail)
		}
	}
	for _, want := range []int{http.StatusNoContent, http.StatusNotFound} {
		if resp, body := h.do(h.request("DELETE", "/v1/leases/"+lease.ID, "")); resp.StatusCode != want {
			t.Errorf("release = %s %s; want %d", resp.Status, body, want)
		}
	}
	h.get("/v1/leases", &list)
	if list.Leases == nil || len(list.Leases) != 0 {
		t.Errorf("leases = %s; want none", pretty(list))
	}
}
