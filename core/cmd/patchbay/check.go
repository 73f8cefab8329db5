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

	"github.com/patchbay/patchbay/core/assist"
	"github.com/patchbay/patchbay/core/config"
	"github.com/patchbay/patchbay/core/emulator/recordings"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/plug/host"
	"github.com/patchbay/patchbay/core/telemetry"
)

// checkConfig lets every plugin look at its settings, says what each route can
// carry, and with live tries each at Google.
func checkConfig(cmd *cobra.Command, cfg *config.Config, live bool) error {
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
	for i, r := range cfg.Routes {
		capacity := assist.Capacity(assist.Transport(r.Transport), r.Model, assist.DefaultQuotas)
		_, _ = fmt.Fprintf(out, "routes[%d]: profile %s, transport %s: %s\n", i, r.Profile, r.Transport, capacity)
	}
	if !live {
		_, _ = fmt.Fprintln(out, "The configuration is in order. Nothing was asked of Google; --live does that.")
		return nil
	}
	return checkLive(ctx, out, cfg)
}

// checkLive tries every different target of the routes once.
func checkLive(ctx context.Context, out io.Writer, cfg *config.Config) error {
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
		_, _ = fmt.Fprintf(out, "routes[%d] at Google:\n", i)
		err := pool.CheckLive(ctx, c, speech, func(s assist.Step) {
			mark := "ok  "
			if !s.OK {
				mark = "FAIL"
			}
			_, _ = fmt.Fprintf(out, "  %s  %s: %s\n", mark, s.Name, s.Detail)
			if s.Fix != "" {
				_, _ = fmt.Fprintf(out, "        → %s\n", s.Fix)
			}
		})
		failed = failed || err != nil
	}
	if failed {
		return exitCode(exitFailure)
	}
	return nil
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
