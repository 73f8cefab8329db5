package audiohook

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	protocolVersion = "2"
	maxText         = 64<<10 - 1 // bytes of a text message (reference implementation)
	nullUUID        = "00000000-0000-0000-0000-000000000000"
)

// The messages of Genesys, the client.
const (
	typeOpen      = "open"
	typeClose     = "close"
	typePing      = "ping"
	typePaused    = "paused"
	typeResumed   = "resumed"
	typeDiscarded = "discarded"
	typeUpdate    = "update"
	typeError     = "error"
)

// Our messages.
const (
	typeOpened     = "opened"
	typeClosed     = "closed"
	typePong       = "pong"
	typePause      = "pause"
	typeResume     = "resume"
	typeUpdated    = "updated"
	typeEvent      = "event"
	typeDisconnect = "disconnect"
	typeReconnect  = "reconnect"
)

// clientMessage is any message of Genesys.
type clientMessage struct {
	Version    string          `json:"version"`
	Type       string          `json:"type"`
	ID         string          `json:"id"`
	Seq        int64           `json:"seq"`
	ServerSeq  int64           `json:"serverseq"`
	Position   string          `json:"position"`
	Parameters json.RawMessage `json:"parameters"`
}

// serverMessage is any message of ours.
type serverMessage struct {
	Version    string `json:"version"`
	Type       string `json:"type"`
	ID         string `json:"id"`
	Seq        int64  `json:"seq"`
	ClientSeq  int64  `json:"clientseq"`
	Parameters any    `json:"parameters"`
}

type openParameters struct {
	Organization string `json:"organizationId"`
	Conversation string `json:"conversationId"`
	Participant  struct {
		ID   string `json:"id"`
		ANI  string `json:"ani"`
		DNIS string `json:"dnis"`
	} `json:"participant"`
	Media              []mediaEntry       `json:"media"`
	Language           string             `json:"language"`
	SupportedLanguages bool               `json:"supportedLanguages"`
	Continued          []continuedSession `json:"continuedSessions"`
	Custom             map[string]any     `json:"customConfig"`
}

type continuedSession struct {
	ID string `json:"id"`
}

// mediaEntry is a kind of audio that Genesys offers.
type mediaEntry struct {
	Type     string   `json:"type"`
	Format   string   `json:"format"`
	Channels []string `json:"channels"`
	Rate     int      `json:"rate"`
}

type openedParameters struct {
	Media       []mediaEntry `json:"media"`
	StartPaused bool         `json:"startPaused,omitempty"`
	// Languages is there if Genesys asked.
	Languages *[]string `json:"supportedLanguages,omitempty"`
}

// span is a stretch of the session's audio: of a pause, or left out.
type span struct {
	Start     string `json:"start"`
	Discarded string `json:"discarded"`
}

type errorParameters struct {
	Code       int    `json:"code"`
	Message    string `json:"message"`
	RetryAfter string `json:"retryAfter"`
}

type goodbyeParameters struct {
	Reason string `json:"reason,omitempty"`
	Info   string `json:"info,omitempty"`
}

// The reasons of a disconnect message.
const (
	reasonCompleted    = "completed"
	reasonUnauthorized = "unauthorized"
	reasonError        = "error"
)

var errMessage = errors.New("it is no JSON message of the protocol")

// decode reads a message and looks at its form. What it says comes later.
func decode(b []byte) (m clientMessage, err error) {
	if err := json.Unmarshal(b, &m); err != nil {
		return clientMessage{}, errMessage
	}
	switch {
	case m.Version != protocolVersion:
		return clientMessage{}, fmt.Errorf("its version is not %s", protocolVersion)
	case m.Type == "" || !isUUID(m.ID) || m.Seq < 1 || m.ServerSeq < 0:
		return clientMessage{}, errMessage
	case len(m.Parameters) == 0 || m.Parameters[0] != '{':
		return clientMessage{}, errors.New("its parameters are no object")
	}
	return m, nil
}

// isUUID reports whether s is written as a UUID.
func isUUID(s string) bool {
	if len(s) != len(nullUUID) {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case nullUUID[i] == '-':
			if c != '-' {
				return false
			}
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
		default:
			return false
		}
	}
	return true
}

var errDuration = errors.New("it is no length of time like PT2.6S")

// maxSeconds bounds the lengths of time that are believed: 115 days.
const maxSeconds = 10_000_000

// parseDuration reads PT2.6S, the one form that the protocol has.
func parseDuration(s string) (time.Duration, error) {
	digits, ok := strings.CutPrefix(s, "PT")
	if digits, ok = cutSuffix(digits, "S", ok); !ok {
		return 0, errDuration
	}
	whole, part, _ := strings.Cut(digits, ".")
	if whole == "" && part == "" || strings.HasSuffix(digits, ".") || strings.Trim(whole+part, "0123456789") != "" {
		return 0, errDuration
	}
	whole = strings.TrimLeft(whole, "0")
	if len(whole) > 8 {
		return 0, errDuration
	}
	seconds := 0
	if whole != "" {
		seconds, _ = strconv.Atoi(whole) // eight digits at most
	}
	if seconds > maxSeconds {
		return 0, errDuration
	}
	part = (part + "000000000")[:9]
	nanos, _ := strconv.Atoi(part) // nine digits
	return time.Duration(seconds)*time.Second + time.Duration(nanos), nil
}

func cutSuffix(s, suffix string, before bool) (string, bool) {
	rest, ok := strings.CutSuffix(s, suffix)
	return rest, ok && before
}

// formatDuration writes a length of time as the protocol does.
func formatDuration(d time.Duration) string {
	d = max(0, d)
	s := strconv.FormatInt(int64(d/time.Second), 10)
	if rest := d % time.Second; rest > 0 {
		s += strings.TrimRight(fmt.Sprintf(".%09d", int64(rest)), "0")
	}
	return "PT" + s + "S"
}
