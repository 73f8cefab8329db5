package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/assist"
	"github.com/patchbay/patchbay/core/config"
	"github.com/patchbay/patchbay/core/emulator/recordings"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/plug/host"
	"github.com/patchbay/patchbay/core/telemetry"
)

// checkConfig lets every plugin look at its settings, says what each route can
// carry, and with live tries each at Google.
func checkConfig(cmd *cobra.Command, env environment, cfg *config.Config, live bool) error {
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	log, err := telemetry.NewLogger(cmd.ErrOrStderr(), "error", telemetry.FormatAuto)
	if err != nil {
		return err
	}
	dir, err := programDir()
	if err != nil {
		return err
	}
	var problems []error
	if err := checkRelays(cfg); err != nil {
		problems = append(problems, err)
	}
	for i, a := range cfg.Adapters {
		d, err := host.Check(ctx, hostConfig(cfg, i, dir, log))
		if err = locate(cfg, i, err); err != nil {
			problems = append(problems, err)
			continue
		}
		_, _ = fmt.Fprintf(out, "adapter %s: plugin %s %s is in order\n", a.Name, d.Name, d.Version)
	}
	if err := errors.Join(problems...); err != nil {
		return err
	}
	if live {
		return checkLive(ctx, env, out, cfg)
	}
	for i, r := range cfg.Routes {
		capacity := assist.Capacity(assist.Transport(r.Transport), r.Model, assist.Quotas(cfg.Google.Quotas))
		_, _ = fmt.Fprintf(out, "routes[%d]: profile %s, transport %s: %s\n", i, r.Profile, r.Transport, capacity)
	}
	_, _ = fmt.Fprintln(out, "The configuration is in order. Nothing was asked of Google; --live does that.")
	return nil
}

// checkRelays finds entries of routes[].relay that allow nothing.
func checkRelays(cfg *config.Config) error {
	var problems adapter.Problems
	for i, r := range cfg.Routes {
		for j, entry := range r.Relay {
			if !assist.Relays(entry) {
				problems.Add(fmt.Sprintf("routes[%d].relay[%d]", i, j), entry, "Agent Assist has no such service or method, so it allows nothing",
					"write calls, all, Participants, CreateParticipant or Participants/CreateParticipant")
			}
		}
	}
	return cfg.Locate(problems)
}

// checkLive tries every different target of the routes once.
func checkLive(ctx context.Context, env environment, out io.Writer, cfg *config.Config) error {
	pool := assist.NewPool(assist.Options{UserAgent: "patchbay/" + version})
	defer func() { _ = pool.Close() }() // nothing is lost by then
	speech, err := bundledSpeech()
	if err != nil {
		return err
	}
	tried := map[assist.Conversation]bool{}
	failed := false
	for i, r := range cfg.Routes {
		c := assist.Conversation{
			Google: googleOf(cfg, r), Profile: r.Profile, Language: r.Language, Model: r.Model, Transport: assist.Transport(r.Transport),
		}
		if tried[c] {
			continue
		}
		tried[c] = true
		c.ID = "check-" + strings.ToLower(rand.Text())
		_, _ = fmt.Fprintf(out, "routes[%d], at %s:\n", i, serviceOf(c.Google))
		err := pool.CheckLive(ctx, c, speech, func(s assist.Step) {
			_, _ = io.WriteString(out, stepText(s, colourOn(out, env.lookup), columnsOf(out, env.lookup)))
		})
		failed = failed || err != nil
	}
	if failed {
		_, _ = fmt.Fprintln(out, "Not in order: calls of these routes would get no help, or less. Mend what the arrows say, and try again.")
		return exitCode(exitFailure)
	}
	_, _ = fmt.Fprintln(out, "All is in order: each route's conversation was heard.")
	return nil
}

// stepText is a step of the live check with what to do about it.
func stepText(s assist.Step, colour bool, columns int) string {
	p := &screen{colour: colour, columns: columns}
	mark := p.styled(styleGreen, "ok  ")
	if !s.OK {
		mark = p.styled(styleRed, "FAIL")
	}
	p.below("  "+mark+"  ", 8, span{styleBold, s.Name + ":"}, span{"", s.Detail})
	if s.Fix != "" {
		p.below("        → ", 10, span{"", s.Fix})
	}
	return p.String()
}

// serviceOf says where the Agent Assist of a route is.
func serviceOf(g assist.Google) string {
	switch {
	case g.Insecure:
		return g.Endpoint + ", without TLS: a local emulator"
	case g.Endpoint != "":
		return g.Endpoint
	default:
		return "Google"
	}
}

// bundledSpeech returns three seconds of each speaker of the bundled English call.
func bundledSpeech() (func(role string) []byte, error) {
	r, err := recordings.Open("en")
	if err != nil {
		return nil, err
	}
	wav, err := r.Audio()
	if err != nil {
		return nil, err
	}
	cut := map[string][]byte{}
	for _, u := range r.Utterances { // the first utterance of each that is long enough
		role := map[string]string{recordings.Customer: "end_user", recordings.Agent: "human_agent"}[u.Speaker]
		if cut[role] != nil || u.End()-u.Start() < 2*time.Second {
			continue
		}
		from := media.Telephony.SamplesIn(u.Start())
		to := min(from+media.Telephony.SamplesIn(3*time.Second), int64(len(wav.Channels[u.Channel])))
		cut[role] = media.AppendEncoded(nil, media.MuLaw, wav.Channels[u.Channel][from:to])
	}
	return func(role string) []byte { return cut[role] }, nil
}
