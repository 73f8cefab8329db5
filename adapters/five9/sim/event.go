package sim

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

const eventTimeout = 10 * time.Second

// Events is Five9's control plane: what it sends to a subscription's event URL.
type Events struct {
	URL    string
	APIKey string
	Header string // that the key goes into; default x-api-key
	Client *http.Client
}

// Validate asks for the hash of the trust token, as Five9 does before a subscription is
// saved.
func (e Events) Validate(ctx context.Context, trustToken string) error {
	body, err := e.do(ctx, http.MethodGet, e.URL, "", nil)
	if err != nil {
		return err
	}
	var got string
	sum := sha256.Sum256([]byte(trustToken))
	if err := json.Unmarshal(body, &got); err != nil || got != hex.EncodeToString(sum[:]) {
		return errors.New("sim: the answer is not the JSON string of the token's SHA-256")
	}
	return nil
}

// Call sends a call event with attached variables.
func (e Events) Call(ctx context.Context, variables map[string]string) error {
	return e.post(ctx, e.URL, map[string]any{"payload": map[string]any{"attached_variables": variables}})
}

// Stream sends a stream event. failure is empty unless status is ERROR.
func (e Events) Stream(ctx context.Context, subscription, domain, call, leg, status, failure string) error {
	m := map[string]string{"callId": call, "domainId": domain, "callLeg": leg, "status": status, "occurredOn": time.Now().UTC().Format(time.RFC3339)}
	if failure != "" {
		m["failureType"] = failure
	}
	return e.post(ctx, e.URL+"/subscriptions/"+subscription, m)
}

func (e Events) post(ctx context.Context, url string, m any) error {
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	_, err = e.do(ctx, http.MethodPost, url, e.APIKey, body)
	return err
}

func (e Events) do(ctx context.Context, method, url, key string, body []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	if key != "" {
		header := e.Header
		if header == "" {
			header = "x-api-key"
		}
		r.Header.Set(header, key)
	}
	client := e.Client
	if client == nil {
		client = http.DefaultClient
	}
	res, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	got, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err = errors.Join(err, res.Body.Close()); err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("sim: %s %s: HTTP %s", method, url, res.Status)
	}
	return got, nil
}
