package native

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/patchbay/patchbay/core/adapter"
)

// identify says whose RPC it is. A token that is shown must be right; without one the
// client's certificate counts.
func (a *Adapter) identify(ctx context.Context) (adapter.Principal, error) {
	tokens := metadata.ValueFromIncomingContext(ctx, "authorization")
	if len(tokens) > 1 {
		return adapter.Principal{}, status.Error(codes.Unauthenticated, "patchbay: more than one authorization")
	}
	if len(tokens) == 1 {
		kind, token, _ := strings.Cut(tokens[0], " ")
		if account, ok := a.holder(strings.TrimSpace(token)); ok && strings.EqualFold(kind, "bearer") {
			return adapter.Principal{Account: account, Method: adapter.MethodToken}, nil
		}
		return adapter.Principal{}, status.Error(codes.Unauthenticated, "patchbay: the bearer token is none of those that the adapter's settings list")
	}
	if p, ok := peer.FromContext(ctx); ok {
		if info, ok := p.AuthInfo.(credentials.TLSInfo); ok && len(info.State.VerifiedChains) > 0 {
			if account, ok := a.named(info.State.PeerCertificates[0]); ok {
				return adapter.Principal{Account: account, Method: adapter.MethodMTLS}, nil
			}
			return adapter.Principal{}, status.Error(codes.Unauthenticated, "patchbay: no client of the adapter's settings lists a name of this certificate")
		}
	}
	if a.cfg.Insecure {
		return adapter.Principal{Method: adapter.MethodNone}, nil
	}
	return adapter.Principal{}, status.Error(codes.Unauthenticated, "patchbay: show a bearer token (metadata authorization) or a client certificate")
}

// holder returns the account that has a token. How long it takes tells nothing about the
// token.
func (a *Adapter) holder(token string) (account string, found bool) {
	sum := sha256.Sum256([]byte(token))
	for i, c := range a.cfg.Clients {
		for _, want := range a.tokens[i] {
			if subtle.ConstantTimeCompare(want[:], sum[:]) == 1 {
				account, found = c.Account, true
			}
		}
	}
	return account, found && token != ""
}

// named returns the account that lists a name of a verified certificate.
func (a *Adapter) named(cert *x509.Certificate) (string, bool) {
	names := map[string]bool{"CN=" + cert.Subject.CommonName: cert.Subject.CommonName != ""}
	for _, n := range cert.DNSNames {
		names[n] = true
	}
	for _, n := range cert.EmailAddresses {
		names[n] = true
	}
	for _, u := range cert.URIs {
		names[u.String()] = true
	}
	for _, c := range a.cfg.Clients {
		for _, n := range c.Certificates {
			if names[n] {
				return c.Account, true
			}
		}
	}
	return "", false
}
