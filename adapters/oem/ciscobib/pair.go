package ciscobib

import "strings"

// HeaderPair is the header of Five9's SIP delivery, which brings each voice in a dialog
// of its own with an ordinary offer. That dialogs with one value belong together is
// inferred (jambonz reads the header; Five9's guide is not public).
const HeaderPair = "X-Five9-StreamingPairId"

// PairKey pairs the dialogs of a call of Five9's; it is empty for a value that is not
// one.
func PairKey(value string) string {
	value = strings.TrimSpace(value)
	if value == "" || len(value) > maxValue || strings.ContainsFunc(value, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return ""
	}
	return "five9:" + value
}
