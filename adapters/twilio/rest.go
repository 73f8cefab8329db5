package twilio

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/twilio/twilio-go/client"
	api "github.com/twilio/twilio-go/rest/api/v2010"

	"github.com/patchbay/patchbay/core/adapter"
)

const (
	restTimeout     = 10 * time.Second
	maxRESTResponse = 1 << 20
)

// rest returns Twilio's REST client for one account. ctx bounds its requests,
// which twilio-go makes without one.
func (a *Adapter) rest(ctx context.Context, acc *Account) *api.ApiService {
	user, password := cmp.Or(acc.APIKey, acc.SID), string(acc.AuthToken)
	if acc.APIKey != "" {
		password = string(acc.APISecret)
	}
	base, _ := url.Parse(a.cfg.APIURL) // Validate parsed it
	c := &client.Client{
		Credentials: client.NewCredentials(user, password),
		HTTPClient: &http.Client{
			// No Timeout: it would leave a goroutine behind each failed request.
			Transport:     &restTransport{ctx: ctx, base: base, to: a.dialer},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	c.SetAccountSid(acc.SID)
	// Not NewRequestHandler: that one reads the environment for edge and region.
	return api.NewApiService(&client.RequestHandler{Client: c})
}

// restTransport sends twilio-go's requests to the configured API, within ctx,
// and reads answers whole, since twilio-go leaves those of errors open.
type restTransport struct {
	ctx  context.Context // of the one call that this transport was made for
	base *url.URL
	to   *http.Transport
}

func (t *restTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(t.ctx, restTimeout)
	defer cancel()
	r = r.Clone(ctx)
	r.URL.Scheme, r.URL.Host, r.Host = t.base.Scheme, t.base.Host, t.base.Host
	r.URL.Path = strings.TrimRight(t.base.Path, "/") + r.URL.Path
	res, err := t.to.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxRESTResponse))
	if err = errors.Join(err, res.Body.Close()); err != nil {
		return nil, err
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	return res, nil
}

// restError says what a failed request means for whoever asked.
func restError(op, call string, err error) error {
	failed, ok := errors.AsType[*client.TwilioRestError](err)
	if !ok || failed.Status == 0 {
		return attachError(op, call, adapter.KindUnavailable, fmt.Errorf("no answer of Twilio's API that can be read: %w", err))
	}
	kind, hint := adapter.KindConfig, ""
	switch {
	case failed.Status == http.StatusTooManyRequests, failed.Status >= 500:
		kind = adapter.KindUnavailable
	case failed.Status == http.StatusUnauthorized, failed.Status == http.StatusForbidden:
		hint = "; check the account's auth_token, or api_key and api_secret"
	case failed.Status == http.StatusNotFound:
		hint = "; the account has no such call or stream in progress"
	}
	return attachError(op, call, kind, fmt.Errorf("answer %d of Twilio's API, error %d: %s%s", failed.Status, failed.Code, oneLine(failed.Message), hint))
}
