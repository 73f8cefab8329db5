package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	dialogflow "cloud.google.com/go/dialogflow/apiv2beta1"
	"cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"github.com/gorilla/websocket"
)

// relay is what all calls share.
type relay struct {
	parent, profile string
	conversations   *dialogflow.ConversationsClient
	participants    *dialogflow.ParticipantsClient
	log             *slog.Logger
	calls           sync.WaitGroup

	mu  sync.Mutex
	out io.Writer // transcripts and suggestions
}

// message is what a relay needs of Twilio's messages ("Media Streams – WebSocket
// Messages", 2026).
type message struct {
	Event string `json:"event"`
	Start struct {
		CallSID string   `json:"callSid"`
		Tracks  []string `json:"tracks"`
	} `json:"start"`
	Media struct {
		Track   string `json:"track"`
		Payload []byte `json:"payload"` // base64 of mu-law at 8 kHz
	} `json:"media"`
}

var upgrader = websocket.Upgrader{
	ReadBufferSize: 1024, WriteBufferSize: 256,
	CheckOrigin: func(*http.Request) bool { return true }, // Twilio is no browser
}

// roles says who is on which track. Which way a call went would matter; a relay
// does not know.
var roles = map[string]dialogflowpb.Participant_Role{
	"inbound":  dialogflowpb.Participant_END_USER,
	"outbound": dialogflowpb.Participant_HUMAN_AGENT,
}

// call is one call, and the one goroutine that reads its socket.
type call struct {
	*relay
	log          *slog.Logger
	conversation string // its name, empty before start
	tracks       map[string]*track
}

const (
	setupTimeout = 30 * time.Second
	endTimeout   = 30 * time.Second
)

// stream serves one WebSocket of Twilio.
func (r *relay) stream(w http.ResponseWriter, req *http.Request) {
	r.calls.Add(1)
	defer r.calls.Done()
	conn, err := upgrader.Upgrade(w, req, nil)
	if err != nil {
		return // Upgrade has answered
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(req.Context(), func() { _ = conn.NetConn().Close() })
	defer stop()
	ctx := context.WithoutCancel(req.Context())
	c := &call{relay: r, log: r.log, tracks: map[string]*track{}}
	defer c.end(ctx)
	for {
		_, b, err := conn.ReadMessage()
		if err != nil {
			return // after stop Twilio closes
		}
		var m message
		if err := json.Unmarshal(b, &m); err != nil {
			c.log.Warn("a message is no JSON of Twilio's", "err", err)
			continue
		}
		switch m.Event {
		case "start":
			if err := c.start(ctx, m.Start.CallSID, m.Start.Tracks); err != nil {
				c.log.Error("the call gets no help", "err", err)
				return
			}
		case "media":
			if t := c.tracks[m.Media.Track]; t != nil {
				t.hear(m.Media.Payload)
			}
		}
	}
}

// start makes the conversation and a stream for each track. Meanwhile the socket
// is not read, and the audio waits in it.
func (c *call) start(ctx context.Context, sid string, tracks []string) error {
	setup, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	c.log = c.log.With("call", sid)
	conversation, err := c.conversations.CreateConversation(setup, &dialogflowpb.CreateConversationRequest{
		Parent:         c.parent,
		ConversationId: sid,
		Conversation: &dialogflowpb.Conversation{
			ConversationProfile: c.profile,
			ConversationStage:   dialogflowpb.Conversation_HUMAN_ASSIST_STAGE,
		},
	})
	if err != nil {
		return err
	}
	c.conversation = conversation.GetName()
	for _, name := range tracks {
		p, err := c.participants.CreateParticipant(setup, &dialogflowpb.CreateParticipantRequest{
			Parent: c.conversation, Participant: &dialogflowpb.Participant{Role: roles[name]},
		})
		if err != nil {
			return err
		}
		if c.tracks[name], err = c.open(ctx, p.GetName(), name); err != nil {
			return err
		}
	}
	return nil
}

// end lets the last results come, says what was lost, and completes the conversation.
func (c *call) end(ctx context.Context) {
	if c.conversation == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	for name, t := range c.tracks {
		if t == nil {
			continue
		}
		t.end(ctx)
		c.log.Info("a track ended", "track", name, "bytes_sent", t.sent, "bytes_lost", t.lost)
	}
	if _, err := c.conversations.CompleteConversation(ctx, &dialogflowpb.CompleteConversationRequest{Name: c.conversation}); err != nil {
		c.log.Warn("the conversation stays open", "err", err)
	}
}
