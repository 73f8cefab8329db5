package twilio

import (
	"errors"
	"net/url"
	"path"
	"strings"
)

// The paths below the public URL.
const (
	pathStream     = "/stream"      // WebSocket upgrade of a stream
	pathVoice      = "/voice"       // voice webhook of a number
	pathStatus     = "/status"      // status callback of a stream
	pathCallStatus = "/call-status" // status callback of a call, which attaches
)

// publicURL is the address that Twilio uses and signs. Requests are never asked
// for it: behind a proxy they see another scheme, host and port.
type publicURL struct {
	http string // "https://voice.example.com/twilio", without a slash at the end
	ws   string // the same with wss
	path string // "/twilio", or "" for a bare host
}

// parsePublicURL fails with words for people that follow the URL's name.
func parsePublicURL(s string) (publicURL, error) {
	u, err := url.Parse(s)
	switch {
	case s == "":
		return publicURL{}, errors.New("it is missing")
	case err != nil, u.Host == "", u.Hostname() == "":
		return publicURL{}, errors.New("it is not a whole URL")
	case strings.ContainsAny(u.Host, "[]"):
		return publicURL{}, errors.New("signatures of URLs with an IPv6 address cannot be checked; use a host name")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return publicURL{}, errors.New("streams come over wss only, so it must be https; http is for a simulator on this machine")
	case u.Scheme != "http" && u.Scheme != "https":
		return publicURL{}, errors.New("its scheme must be https")
	case u.User != nil:
		return publicURL{}, errors.New("it must not hold a user name")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return publicURL{}, errors.New("a stream's URL must not have a query (Twilio error 31920)")
	case u.RawPath != "" || u.Path != "" && path.Clean(u.Path) != strings.TrimRight(u.Path, "/") && u.Path != "/":
		return publicURL{}, errors.New("its path must be plain: no escapes, no dots, no double slashes")
	}
	p := publicURL{http: strings.TrimRight(s, "/"), path: strings.TrimRight(u.Path, "/")}
	p.ws = "ws" + strings.TrimPrefix(p.http, "http")
	return p, nil
}

// webhook returns the URL that Twilio signs for a request below path.
func (p publicURL) webhook(path, rawQuery string) string { return withQuery(p.http+path, rawQuery) }

// stream returns the URL that Twilio signs for the upgrade of a stream.
func (p publicURL) stream(rawQuery string) string { return withQuery(p.ws+pathStream, rawQuery) }

func withQuery(u, rawQuery string) string {
	if rawQuery == "" {
		return u
	}
	return u + "?" + rawQuery
}
