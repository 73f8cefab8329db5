package siprec

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func crlf(s string) []byte { return []byte(strings.ReplaceAll(s, "\n", "\r\n")) }

func TestParts(t *testing.T) {
	const sdp, xml = "v=0\ns=-", "<recording/>"
	good := "--b\nContent-Type: application/sdp\n\n" + sdp + "\n--b\nContent-Type: application/rs-metadata+xml\nContent-Disposition: recording-session\n\n" + xml + "\n--b--\n"
	for name, c := range map[string]struct {
		contentType, body string
		want              string // type=body of each part, "|" between
		odd               bool
	}{
		"as it should be":                {`multipart/mixed;boundary=b`, good, "sdp=" + sdp + "|rs-metadata+xml=" + xml, false},
		"quoted boundary, odd case":      {`Multipart/Mixed; charset="a;b"; BOUNDARY="b"`, good, "sdp=" + sdp + "|rs-metadata+xml=" + xml, false},
		"metadata first":                 {`multipart/mixed;boundary=b`, "--b\nContent-Type: application/rs-metadata\n\n" + xml + "\n--b\nContent-Type: application/sdp\n\n" + sdp + "\n--b--", "rs-metadata=" + xml + "|sdp=" + sdp, false},
		"no closing boundary":            {`multipart/mixed;boundary=b`, "--b\nContent-Type: application/sdp\n\n" + sdp, "sdp=" + sdp, true},
		"blanks behind boundaries":       {`multipart/mixed;boundary=b`, strings.ReplaceAll(good, "--b\n", "--b \t\n"), "sdp=" + sdp + "|rs-metadata+xml=" + xml, false},
		"no space behind the colon":      {`multipart/mixed;boundary=b`, strings.ReplaceAll(good, ": ", ":"), "sdp=" + sdp + "|rs-metadata+xml=" + xml, false},
		"third part":                     {`multipart/mixed;boundary=b`, strings.Replace(good, "--b--", "--b\nContent-Type: application/gtd\n\nIAM,\n--b--", 1), "sdp=" + sdp + "|rs-metadata+xml=" + xml + "|gtd=IAM,", false},
		"wrong boundary in the header":   {`multipart/mixed;boundary=c`, good, "sdp=" + sdp + "|rs-metadata+xml=" + xml, true},
		"no boundary in the header":      {`multipart/mixed`, "\n" + good, "sdp=" + sdp + "|rs-metadata+xml=" + xml, true},
		"preamble and epilogue":          {`multipart/mixed;boundary=b`, "hello\n" + good + "bye\n--b\nContent-Type: application/sdp\n\nv=1\n", "sdp=" + sdp + "|rs-metadata+xml=" + xml, false},
		"headers missing":                {`multipart/mixed;boundary=b`, "--b\n\n" + sdp + "\n--b\n" + xml + "\n--b--", "sdp=" + sdp + "|rs-metadata+xml=" + xml, false},
		"empty line before headers":      {`multipart/mixed;boundary=b`, "--b\n\nContent-Type: application/sdp\n\n" + sdp + "\n--b--", "sdp=" + sdp, false},
		"empty line missing":             {`multipart/mixed;boundary=b`, "--b\nContent-Type: application/rs-metadata\n" + xml + "\n--b--", "rs-metadata=" + xml, false},
		"plain description":              {"application/sdp", sdp, "sdp=" + sdp, false},
		"bare metadata":                  {"application/rs-metadata; charset=utf-8", xml, "rs-metadata=" + xml, false},
		"no type, a description":         {"", sdp, "sdp=" + sdp, false},
		"no type, metadata":              {"", "\xef\xbb\xbf\n" + xml, "rs-metadata+xml=\xef\xbb\xbf\n" + xml, false},
		"multipart that is none":         {"multipart/mixed;boundary=b", sdp, "sdp=" + sdp, true},
		"empty":                          {"multipart/mixed;boundary=b", "", "octet-stream=", true},
		"a boundary within a longer one": {"multipart/mixed;boundary=b", "--b\nContent-Type: application/sdp\n\n" + sdp + "\n--bb\n--b--", "sdp=" + sdp + "\n--bb", false},
	} {
		t.Run(name, func(t *testing.T) {
			list, err := Parts(c.contentType, crlf(c.body))
			var got []string
			for _, p := range list {
				got = append(got, strings.TrimPrefix(p.Type, "application/")+"="+strings.TrimRight(strings.ReplaceAll(string(p.Body), "\r\n", "\n"), "\n"))
			}
			if strings.Join(got, "|") != c.want {
				t.Errorf("Parts = %q\nwant %q", strings.Join(got, "|"), c.want)
			}
			if errors.Is(err, ErrParts) != c.odd {
				t.Errorf("error %v; want one: %v", err, c.odd)
			}
		})
	}
}

func TestPartsBounds(t *testing.T) {
	var b bytes.Buffer
	for i := range 1000 {
		fmt.Fprintf(&b, "--b\r\nContent-Type: text/%d\r\n\r\nx\r\n", i)
	}
	list, err := Parts("multipart/mixed;boundary=b", b.Bytes())
	if len(list) != MaxParts || !errors.Is(err, ErrParts) {
		t.Errorf("%d parts, %v; want %d and an error", len(list), err, MaxParts)
	}
	long := append([]byte("v=0\r\n"), bytes.Repeat([]byte("a"), 2*MaxBody)...)
	list, err = Parts("application/sdp", long)
	if len(list) != 1 || len(list[0].Body) != MaxBody || !errors.Is(err, ErrParts) {
		t.Errorf("a long body: %d parts, %v", len(list), err)
	}
}

func TestSplit(t *testing.T) {
	b := Split("multipart/mixed;boundary=b", crlf("--b\nContent-Disposition: recording-session\nContent-Type: text/xml\n\n<a/>\n--b\nContent-Type: application/sdp\n\nv=0\n--b\nContent-Type: application/sdp\n\nv=1\n--b--\n"))
	if string(b.SDP) != "v=0" || string(b.Metadata) != "<a/>" || len(b.Others) != 1 || b.Odd != nil {
		t.Errorf("Split = %q %q %d %v", b.SDP, b.Metadata, len(b.Others), b.Odd)
	}
	if b := Split("", nil); b.SDP != nil || b.Metadata != nil || b.Odd != nil {
		t.Errorf("Split of nothing = %+v", b)
	}
}

// seeds yields content type and body of every message of the corpus.
func seeds(f *testing.F, yield func(contentType string, body []byte)) {
	files, _ := filepath.Glob("../testdata/dialects/*/*.sip")
	if len(files) == 0 {
		f.Fatal("no corpus")
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		head, body, _ := strings.Cut(string(b), "\n\n")
		_, rest, _ := strings.Cut(head, "Content-Type:")
		contentType, _, _ := strings.Cut(rest, "\n")
		yield(contentType, []byte(body))
	}
}

// FuzzParts takes bodies apart: parts are pieces of the body in its order, and few.
func FuzzParts(f *testing.F) {
	f.Add("multipart/mixed;boundary=b", []byte("--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b \r\n\r\n<a/>\r\n--b--"))
	f.Add("multipart/mixed", []byte("\r\n--x\r\nA: b\r\n\r\n\r\n--x--x"))
	f.Add("application/sdp;boundary=\"", []byte("v=0"))
	f.Add("multipart/;boundary=", []byte("--"))
	seeds(f, func(contentType string, body []byte) { f.Add(contentType, body) })
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		list, err := Parts(contentType, body)
		if err != nil && !errors.Is(err, ErrParts) {
			t.Errorf("Parts = %v", err)
		}
		if len(list) > MaxParts {
			t.Errorf("%d parts", len(list))
		}
		at := 0
		for _, p := range list {
			i := bytes.Index(body[at:], p.Body)
			if i < 0 || p.Type == "" || p.Type != strings.ToLower(p.Type) {
				t.Fatalf("part %q of type %q is not in the rest of the body", p.Body, p.Type)
			}
			at += i + len(p.Body)
		}
		b := Split(contentType, body)
		n := len(b.Others)
		for _, p := range [][]byte{b.SDP, b.Metadata} {
			if p != nil {
				n++
			}
		}
		if n > len(list) {
			t.Errorf("Split makes %d of %d parts", n, len(list))
		}
	})
}
