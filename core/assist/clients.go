package assist

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/credentials"
	dialogflow "cloud.google.com/go/dialogflow/apiv2beta1"
	"cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// clients are Google's clients for one Google value. Streams spread over lanes,
// one HTTP/2 connection each; unary calls have a connection of their own.
type clients struct {
	google Google
	opts   *Options

	circuit *circuit
	bidi    bidiForm

	opening       sync.Mutex // held while open looks for credentials
	dial          []option.ClientOption
	conversations *dialogflow.ConversationsClient
	profileClient *dialogflow.ConversationProfilesClient
	answers       *dialogflow.AnswerRecordsClient

	mu       sync.Mutex
	lanes    []*lane
	profiles map[string]cachedProfile
	closed   bool
}

// lane is one connection for streams.
type lane struct {
	*dialogflow.ParticipantsClient
	streams int
}

type cachedProfile struct {
	profile *dialogflowpb.ConversationProfile
	until   time.Time
}

// profileTTL is how long a fetched profile is believed: a change shows within it.
const profileTTL = time.Minute

// open makes the clients, once; after a failure the next call tries again.
func (c *clients) open(ctx context.Context) (err error) {
	c.opening.Lock()
	defer c.opening.Unlock()
	if c.conversations != nil {
		return nil
	}
	if c.dial == nil {
		if c.dial, err = c.clientOptions(); err != nil {
			return err
		}
	}
	// The clients outlive the call that happens to come first.
	ctx = context.WithoutCancel(ctx)
	conversations, err := dialogflow.NewConversationsClient(ctx, c.dial...)
	if err != nil {
		return fmt.Errorf("assist: %w", err)
	}
	profiles, err := dialogflow.NewConversationProfilesClient(ctx, c.dial...)
	if err != nil {
		return errors.Join(fmt.Errorf("assist: %w", err), conversations.Close())
	}
	answers, err := dialogflow.NewAnswerRecordsClient(ctx, c.dial...)
	if err != nil {
		return errors.Join(fmt.Errorf("assist: %w", err), conversations.Close(), profiles.Close())
	}
	c.conversations, c.profileClient, c.answers = conversations, profiles, answers
	return nil
}

func (c *clients) clientOptions() ([]option.ClientOption, error) {
	g, address := c.google, c.google.address()
	if c.opts.Dial != nil {
		address = "passthrough:///" + address
	}
	opts := []option.ClientOption{option.WithEndpoint(address), option.WithTelemetryDisabled()}
	if c.opts.UserAgent != "" {
		opts = append(opts, option.WithUserAgent(c.opts.UserAgent))
	}
	if c.opts.Dial != nil {
		opts = append(opts, option.WithGRPCDialOption(grpc.WithContextDialer(c.opts.Dial)))
	}
	if g.QuotaProject != "" {
		opts = append(opts, option.WithQuotaProject(g.QuotaProject))
	}
	if g.Insecure {
		return append(opts, option.WithoutAuthentication(),
			option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials()))), nil
	}
	creds, err := findCredentials(g.Credentials)
	if err != nil {
		return nil, err
	}
	return append(opts, option.WithAuthCredentials(creds)), nil
}

// errCredentials means that there is nothing to authenticate with.
var errCredentials = errors.New("no usable credentials")

// findCredentials reads a key file, or looks for Application Default Credentials,
// once for all connections, so that they share a token.
func findCredentials(file string) (*auth.Credentials, error) {
	opts := &credentials.DetectOptions{Scopes: dialogflow.DefaultAuthScopes()}
	if file == "" {
		creds, err := credentials.DetectDefault(opts)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errCredentials, err)
		}
		return creds, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%w: google.credentials: %w", errCredentials, err)
	}
	var head struct {
		Type credentials.CredType `json:"type"`
	}
	if err := json.Unmarshal(b, &head); err != nil || head.Type == "" {
		return nil, fmt.Errorf("%w: google.credentials = %q: is not a key file (JSON with a type)", errCredentials, file)
	}
	creds, err := credentials.NewCredentialsFromJSON(head.Type, b, opts)
	if err != nil {
		return nil, fmt.Errorf("%w: google.credentials = %q: %w", errCredentials, file, err)
	}
	return creds, nil
}

// lane returns the connection with the fewest streams, a new one when all carry
// enough. It counts a stream until done is called.
func (c *clients) lane(ctx context.Context) (l *lane, done func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, nil, errPoolClosed
	}
	for _, other := range c.lanes {
		if l == nil || other.streams < l.streams {
			l = other
		}
	}
	if l == nil || l.streams >= c.opts.StreamsPerConnection && len(c.lanes) < c.opts.MaxConnections {
		client, err := dialogflow.NewParticipantsClient(context.WithoutCancel(ctx), c.dial...)
		if err != nil {
			return nil, nil, fmt.Errorf("assist: %w", err)
		}
		l = &lane{ParticipantsClient: client}
		c.lanes = append(c.lanes, l)
	}
	l.streams++
	return l, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		l.streams--
	}, nil
}

// profile returns a conversation profile, from memory when it was fetched lately.
func (c *clients) profile(ctx context.Context, name string) (*dialogflowpb.ConversationProfile, error) {
	c.mu.Lock()
	cached, ok := c.profiles[name]
	c.mu.Unlock()
	if ok && time.Now().Before(cached.until) {
		return cached.profile, nil
	}
	profile, err := c.profileClient.GetConversationProfile(ctx, &dialogflowpb.GetConversationProfileRequest{Name: name}, once)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.profiles[name] = cachedProfile{profile: profile, until: time.Now().Add(profileTTL)}
	return profile, nil
}

// model returns the speech model of a profile, if it is remembered. c may be nil.
func (c *clients) model(profile string) string {
	if c == nil {
		return ""
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.profiles[profile].profile.GetSttConfig().GetModel()
}

func (c *clients) close() error {
	c.opening.Lock()
	defer c.opening.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	var errs []error
	for _, l := range c.lanes {
		errs = append(errs, l.Close())
	}
	if c.conversations != nil {
		errs = append(errs, c.conversations.Close(), c.profileClient.Close(), c.answers.Close())
	}
	return errors.Join(errs...)
}
