package main

import (
	"fmt"
	"testing"
)

// A table of a quarter of an hour fits a terminal of 80 columns, with heads over
// their numbers.
func TestCountsFit(t *testing.T) {
	header := fmt.Sprintf(countsHeader, "track", "who", "sent", "ledger", "heard", "filled", "recognised", "silent", "other")
	row := fmt.Sprintf(countsRow, "outbound", "customer", 7_200_000, 7_200_000, 7_200_000, 72_000, "100 %", "100 %", "100 %", "DIFFER")
	if n := cells(row) - 1; n > unknownWidth {
		t.Errorf("%q has %d cells; want at most %d", row, n, unknownWidth)
	}
	if want := cells(row) - len(" DIFFER"); cells(header) != want {
		t.Errorf("the header has %d cells; want %d:\n%s%s", cells(header), want, header, row)
	}
}
