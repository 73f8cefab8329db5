package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/patchbay/patchbay/core/emulator"
	"github.com/patchbay/patchbay/core/emulator/hear"
	"github.com/patchbay/patchbay/core/emulator/knowledge"
	"github.com/patchbay/patchbay/core/emulator/recordings"
	"github.com/patchbay/patchbay/core/telemetry"
)

func emulatorCommand(environment) *cobra.Command {
	cfg := emulator.DefaultConfig()
	var listen, level, scripts, base, hears string
	var off []string
	var faults faultFlags
	cmd := &cobra.Command{
		Use:   "emulator",
		Short: "Run a strict local Agent Assist for any program that speaks to it",
		Long: `Serves Dialogflow's Conversations, Participants, ConversationProfiles and
AnswerRecords (v2 and v2beta1) over gRPC without TLS, stricter than Google does.
Project local, location global and profile demo exist. Point Google's client at it
with its endpoint option, without authentication:

  client, err := dialogflow.NewParticipantsClient(ctx, option.WithEndpoint("127.0.0.1:8090"),
      option.WithoutAuthentication(), option.WithGRPCDialOption(
          grpc.WithTransportCredentials(insecure.NewCredentials())))

It hears the bundled recordings, tone words and coded blocks, by their sound.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, rule := range off {
				cfg.Off = append(cfg.Off, emulator.Rule(rule))
			}
			log, err := telemetry.NewLogger(cmd.ErrOrStderr(), level, telemetry.FormatAuto)
			if err != nil {
				return usageError{err}
			}
			cfg.Logger = log
			if cfg.Recognizer, err = recogniserNamed(hears, scripts); err != nil {
				return err
			}
			if err := ownContent(&cfg, scripts, base); err != nil {
				return err
			}
			if cfg.Faults, err = faults.plan(); err != nil {
				return err
			}
			e, err := startEmulator(cfg, listen)
			if err != nil {
				return err
			}
			if faults.admin != "" {
				addr, err := e.serveAdmin(faults.admin)
				if err != nil {
					return errors.Join(err, e.stop())
				}
				if _, err := fmt.Fprintf(cmd.OutOrStdout(), "admin API on http://%s\n", addr); err != nil {
					return errors.Join(err, e.stop())
				}
			}
			if _, err := fmt.Fprintf(cmd.OutOrStdout(), "listening on %s\n", e.addr); err != nil {
				return err
			}
			<-cmd.Context().Done()
			return e.stop()
		},
	}
	f := cmd.Flags()
	f.StringVar(&listen, "listen", "127.0.0.1:8090", "address to listen on; port 0 takes a free one")
	f.Float64Var(&cfg.Speed, "speed", cfg.Speed, "make its time run N times faster: pacing, durations and quotas alike")
	f.BoolVar(&cfg.Quotas, "quotas", cfg.Quotas, "enforce the quotas of stream starts")
	f.StringSliceVar(&cfg.Projects, "project", cfg.Projects, "projects that exist")
	f.StringSliceVar(&cfg.Locations, "location", cfg.Locations, "locations that exist")
	f.StringSliceVar(&cfg.Profiles, "profile", cfg.Profiles, "conversation profiles that exist")
	f.StringVar(&cfg.Language, "language", cfg.Language, "language of the profiles")
	f.StringSliceVar(&off, "off", nil, "rules that are not enforced: "+ruleNames())
	f.StringVar(&hears, "recogniser", hearAll, "what it understands: all (what the bundled recordings say, tone words, coded blocks), coded, or none; it counts what it hears in any case")
	f.StringVar(&scripts, "recordings", "", "folder of recordings to recognise beside the bundled ones (NAME.wav with NAME.yaml)")
	f.StringVar(&base, "knowledge", "", "folder of articles and answers in the place of the built-in ones")
	f.StringVar(&level, "log", "warn", "debug, info, warn or error")
	faults.register(cmd)
	return cmd
}

func ruleNames() string {
	var names []string
	for _, r := range emulator.Rules() {
		names = append(names, string(r))
	}
	return strings.Join(names, ", ")
}

// What the emulator can be told to understand.
const (
	hearAll   = "all"
	hearCoded = "coded"
	hearNone  = "none"
)

// recogniserNamed returns the recogniser of a name, nil for the default one.
func recogniserNamed(name, scripts string) (hear.Recognizer, error) {
	switch {
	case name == hearAll:
		return nil, nil
	case name != hearCoded && name != hearNone:
		return nil, usageError{fmt.Errorf("--recogniser %q: want %s, %s or %s", name, hearAll, hearCoded, hearNone)}
	case scripts != "":
		return nil, usageError{fmt.Errorf("--recogniser %s understands no --recordings; leave one of them out", name)}
	case name == hearCoded:
		return hear.Coded{}, nil
	}
	return hear.Deaf{}, nil
}

// ownContent replaces what the emulator hears and answers by folders of the user's.
func ownContent(cfg *emulator.Config, scripts, base string) error {
	if base != "" {
		b, err := knowledge.Load(os.DirFS(base))
		if err != nil {
			return fmt.Errorf("--knowledge %s: %w", base, err)
		}
		cfg.Knowledge = b
	}
	if scripts != "" {
		var all []recordings.Recording
		for _, folder := range []fs.FS{recordings.FS, os.DirFS(scripts)} {
			list, err := recordings.Load(folder)
			if err != nil {
				return fmt.Errorf("--recordings %s: %w", scripts, err)
			}
			all = append(all, list...)
		}
		script, err := hear.NewScript(all)
		if err != nil {
			return fmt.Errorf("--recordings %s: %w", scripts, err)
		}
		cfg.Recognizer = hear.All(hear.Coded{}, hear.Tones{}, script)
	}
	return nil
}

// localEmulator is an emulator that serves on a socket of this machine.
type localEmulator struct {
	*emulator.Server
	addr string
	stop func() error // waits for its end
}

func startEmulator(cfg emulator.Config, listen string) (*localEmulator, error) {
	server, err := emulator.New(cfg)
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("emulator: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	var served error
	serving.Go(func() { served = server.Serve(ctx, ln) })
	return &localEmulator{Server: server, addr: ln.Addr().String(), stop: func() error {
		cancel()
		serving.Wait()
		return served
	}}, nil
}
