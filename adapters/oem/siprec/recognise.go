package siprec

import "strings"

// Recording says why a request looks like a recording call, and whether it does: any one
// mark is enough, since systems leave out the others. A listener that serves recorders
// alone need not ask.
func Recording(h Headers, b Body) (evidence string, ok bool) {
	if h != nil {
		for _, v := range h.Values("Require") {
			for word := range strings.SplitSeq(v, ",") {
				if strings.EqualFold(strings.TrimSpace(word), "siprec") {
					return "Require: siprec", true
				}
			}
		}
		for _, v := range h.Values("Contact") {
			if marked(v) {
				return "Contact with the mark of a recording client", true
			}
		}
	}
	if b.Metadata != nil {
		return "recording metadata in the body", true
	}
	if h == nil {
		return "", false
	}
	for _, name := range []string{"X-Cisco-Recording-Participant", "X-Five9-StreamingPairId", "X-BroadWorks-Correlation-Info"} {
		if len(h.Values(name)) > 0 {
			return name, true
		}
	}
	if from := strings.ToLower(URI(first(h, "From"))); strings.Contains(from, ";x-nearend") || strings.Contains(from, ";x-far") && strings.Contains(from, ";x-refci") {
		return "From with the parameters of CUCM's recording", true
	}
	return "", false
}

// marked finds +sip.src in a Contact: as a parameter of the header or, wrongly, of the
// URI; without the prefix; with a hyphen.
func marked(contact string) bool {
	for one := range strings.FieldsFuncSeq(strings.ToLower(contact), func(c rune) bool { return strings.ContainsRune(";,<> \t", c) }) {
		switch name, _, _ := strings.Cut(one, "="); name {
		case "+sip.src", "+sip-src", "src", "sip.src":
			return true
		}
	}
	return false
}

// Vendor is the make of a recording client as far as it shows. It is a hint for people
// and for defaults: what a message says counts more.
type Vendor string

// The makes that show.
const (
	VendorUnknown    Vendor = ""
	VendorAvaya      Vendor = "avaya"
	VendorOracle     Vendor = "oracle"
	VendorCUBE       Vendor = "cube"
	VendorCUCM       Vendor = "cucm"
	VendorRibbon     Vendor = "ribbon"
	VendorAudioCodes Vendor = "audiocodes"
	VendorBroadworks Vendor = "broadworks"
	VendorMetaswitch Vendor = "metaswitch"
	VendorOpenSIPS   Vendor = "opensips"
	VendorSEMS       Vendor = "sems"
	VendorJambonz    Vendor = "jambonz"
	VendorFive9      Vendor = "five9"
)

// Recognise returns the make of a client. origin is the user of the o= line of its
// description. Everything may be missing.
func Recognise(h Headers, v *View, origin string) Vendor {
	for _, sign := range []struct {
		in   string
		word string
		make Vendor
	}{
		{fieldNames(v), "broadworksrecordingmetadata", VendorBroadworks},
		{fieldNames(v), "metaswitchrecordingmetadata", VendorMetaswitch},
		{fieldNames(v), "apkt.", VendorOracle},
		{fieldNames(v), "jb.", VendorJambonz},
		{fieldNames(v), "ac.", VendorAudioCodes},
		{fieldNames(v), "calldata.gcid", VendorRibbon},
		{first(h, "User-Agent"), "cucm", VendorCUCM},
		{first(h, "User-Agent"), "avaya", VendorAvaya},
		{first(h, "User-Agent"), "audiocodes", VendorAudioCodes},
		{first(h, "User-Agent"), "cisco-sipgateway", VendorCUBE},
		{first(h, "User-Agent"), "opensips", VendorOpenSIPS},
		{first(h, "X-Five9-StreamingPairId"), "", VendorFive9},
		{first(h, "X-Cisco-Recording-Participant"), "", VendorCUBE},
		{first(h, "X-BroadWorks-Correlation-Info"), "", VendorBroadworks},
		{first(h, "Content-Type"), "oss-unique-boundary", VendorOpenSIPS},
		{first(h, "Server"), "asbce", VendorAvaya},
		{first(h, "From"), "asbce", VendorAvaya},
		{origin, "ciscosystemssip-gw", VendorCUBE},
		{origin, "sonus", VendorRibbon},
		{origin, "broadworks", VendorBroadworks},
		{origin, "audiocodes", VendorAudioCodes},
		{origin, "sems", VendorSEMS},
	} {
		if sign.in != "" && strings.Contains(strings.ToLower(sign.in), sign.word) {
			return sign.make
		}
	}
	return VendorUnknown
}

// fieldNames joins the names of a view's extension fields, each behind a blank.
func fieldNames(v *View) string {
	if v == nil {
		return ""
	}
	var b strings.Builder
	for _, f := range v.Document.Fields {
		b.WriteString(" " + f.Name)
	}
	return b.String()
}
