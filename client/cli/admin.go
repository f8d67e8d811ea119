package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/davitd/davit/client"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// admin steers the daemon itself, through the socket for root beside the one that is given.
func (a *app) admin() command {
	return command{
		name: "admin", help: "look at the daemon itself and steer it; for root",
		commands: []command{
			a.adminStatus(), a.adminMetrics(), a.adminLogLevel(), a.adminClients(), a.adminDisconnect(), a.adminDrain(), a.adminUndrain(),
		},
	}
}

// steer connects to the admin socket and calls.
func (a *app) steer(ctx context.Context, call func(*client.Admin) error) error {
	to := a.target()
	c, err := client.DialAdmin(to.connect, client.WithEnvironment(a.env))
	return reach(ctx, c, err, "the admin socket", call)
}

// asAuditor connects to where the audit log is read, and reads.
func (a *app) asAuditor(ctx context.Context, read func(*client.Audit) error) error {
	to := a.target()
	c, err := client.DialAudit(to.connect, client.WithEnvironment(a.env), client.WithIdentity(to.identity.files()))
	return reach(ctx, c, err, "the audit log", read)
}

// steering is a connection that is for more than domains.
type steering interface {
	Connect(context.Context) error
	Address() string
	Close() error
}

// reach connects, calls and hangs up.
func reach[C steering](ctx context.Context, c C, err error, what string, call func(C) error) error {
	if err != nil {
		return failed(err, "failed to connect to %s", what)
	}
	defer func() { _ = c.Close() }()
	if err := c.Connect(ctx); err != nil {
		return failed(unreached(c, err), "failed to connect to %s", what)
	}
	return call(c)
}

func (a *app) adminStatus() command {
	return command{
		name: "status", help: "tell about the daemon",
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			return a.steer(ctx, func(c *client.Admin) error {
				d, err := c.GetDaemon(ctx, &davitv1.GetDaemonRequest{})
				if err != nil {
					return failed(err, "Failed to ask the daemon")
				}
				if a.notation != text {
					return a.show(d)
				}
				for _, p := range []parameter{
					{"Version", d.GetVersion()},
					{"Process", strconv.FormatUint(uint64(d.GetPid()), 10)},
					{"Instance", d.GetInstance()},
					{"Started", timeText(d.GetStarted().AsTime())},
					{"Log level", levelWord(d.GetLogLevel())},
					{"Draining", yesNo(d.GetDraining())},
					{"Clients", strconv.FormatUint(uint64(d.GetClients()), 10)},
					{"Calls", strconv.FormatUint(uint64(d.GetCalls()), 10)},
					{"Domains", strconv.FormatUint(uint64(d.GetDomains()), 10)},
					{"Active", strconv.FormatUint(uint64(d.GetActiveDomains()), 10)},
					{"Memory", byteText(d.GetMemoryBytes())},
				} {
					a.print("%-15s %s\n", p.name+":", cell(p.value))
				}
				return nil
			})
		},
	}
}

func (a *app) adminLogLevel() command {
	var word string
	return command{
		name: "log-level", help: "show or set what the daemon logs, until it is started anew",
		operands: []operand{{name: "level", help: "debug, info, warn or error", optional: true, one: &word}},
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			level := davitv1.LogLevel(davitv1.LogLevel_value["LOG_LEVEL_"+strings.ToUpper(word)])
			if word != "" && level == davitv1.LogLevel_LOG_LEVEL_UNSPECIFIED {
				return failed(nil, "Unknown level '%s', expecting 'debug', 'info', 'warn', or 'error'", word)
			}
			return a.steer(ctx, func(c *client.Admin) error {
				if word != "" {
					if _, err := c.SetLogLevel(ctx, &davitv1.SetLogLevelRequest{Level: level}); err != nil {
						return failed(unsure(err), "Failed to set the log level")
					}
					return nil
				}
				d, err := c.GetDaemon(ctx, &davitv1.GetDaemonRequest{})
				if err != nil {
					return failed(err, "Failed to ask the daemon")
				}
				if a.notation != text {
					return a.show(object{{"log_level", levelWord(d.GetLogLevel())}})
				}
				a.print("%s\n", levelWord(d.GetLogLevel()))
				return nil
			})
		},
	}
}

func levelWord(l davitv1.LogLevel) string {
	return strings.ToLower(strings.TrimPrefix(l.String(), "LOG_LEVEL_"))
}

func (a *app) adminClients() command {
	return command{
		name: "clients", help: "list the connections",
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			return a.steer(ctx, func(c *client.Admin) error {
				resp, err := c.ListClients(ctx, &davitv1.ListClientsRequest{})
				if err != nil {
					return failed(err, "Failed to list clients")
				}
				if a.notation != text {
					return a.show(messages(resp.GetClients()))
				}
				t := newTable("Id", "Socket", "Client", "Access", "Connected", "Calls")
				for _, k := range resp.GetClients() {
					var calls []string
					for _, method := range k.GetCalls() {
						calls = append(calls, method[strings.LastIndexByte(method, '/')+1:])
					}
					t.add(strconv.FormatUint(k.GetId(), 10), k.GetSocket(), clientText(k), k.GetAccess(),
						timeText(k.GetConnected().AsTime()), strings.Join(calls, " "))
				}
				a.printTable(t)
				return nil
			})
		},
	}
}

// clientText is who is at the other end of a connection: a process of the host, or the holder of a certificate.
func clientText(k *davitv1.ConnectedClient) string {
	if k.GetAddress() == "" {
		return fmt.Sprintf("uid %d pid %d", k.GetUid(), k.GetPid())
	}
	return fmt.Sprintf("%s serial %s from %s", k.GetCertificate(), k.GetSerial(), k.GetAddress())
}

func (a *app) adminDisconnect() command {
	var id string
	return command{
		name: "disconnect", help: "end a connection, and so the calls on it",
		operands: []operand{{name: "id", help: "number of the connection, as in clients", one: &id}},
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			number, err := strconv.ParseUint(id, 10, 64)
			if err != nil {
				return badNumber(id, "id")
			}
			return a.steer(ctx, func(c *client.Admin) error {
				if _, err := c.DisconnectClient(ctx, &davitv1.DisconnectClientRequest{Id: number}); err != nil {
					return failed(unsure(err), "Failed to disconnect client '%s'", id)
				}
				a.extra("Client '%s' disconnected\n", id)
				return nil
			})
		},
	}
}

func (a *app) adminDrain() command {
	var timeout string
	return command{
		name: "drain", help: "refuse calls that change something, and wait for those that run: the step before an upgrade",
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&timeout, "timeout", "", "wait so many seconds, or a time as in 2m; without end when not given")
		},
		run: func(ctx context.Context, set *pflag.FlagSet) error {
			q := &davitv1.DrainRequest{}
			if set.Changed("timeout") {
				limit, ok := duration(timeout)
				if !ok {
					return badNumber(timeout, "timeout")
				}
				q.Timeout = durationpb.New(limit.Truncate(time.Millisecond))
			}
			return a.steer(ctx, func(c *client.Admin) error {
				done := a.awaiting("calls that run")
				resp, err := c.Drain(ctx, q)
				done()
				if err != nil {
					return failed(unsure(err), "Failed to drain the daemon")
				}
				if a.notation != text {
					return a.show(resp)
				}
				a.extra("Daemon drained: %d calls awaited\n", resp.GetAwaited())
				return nil
			})
		},
	}
}

func (a *app) adminUndrain() command {
	return command{
		name: "undrain", help: "let calls in again",
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			return a.steer(ctx, func(c *client.Admin) error {
				if _, err := c.Undrain(ctx, &davitv1.UndrainRequest{}); err != nil {
					return failed(unsure(err), "Failed to let calls in again")
				}
				a.extra("Daemon takes calls again\n")
				return nil
			})
		},
	}
}
