package auth

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/tap"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Guard denies calls that the peer has not the right for.
type Guard struct {
	table Table
	// Denied hears of calls that are denied when their head is read, before any interceptor knows of them. May be nil; it is
	// set before the server answers.
	Denied func(ctx context.Context, method string, err error)
	// Limited hears of calls that are not begun because of a limit, of the quota or of connections, however many they are. May
	// be nil; it is set before the server answers.
	Limited func(ctx context.Context, method string, err error)
	// Quota counts the calls of each client, and refuses those above the limits. May be nil; it is set before the server
	// answers, and may be shared by servers.
	Quota *Quota
}

// NewGuard guards by a table.
func NewGuard(t Table) *Guard { return &Guard{table: t} }

// Check tells whether the peer of a call may call a method. What is not known, be it the peer or the method, is denied;
// a method that davit does not have is UNIMPLEMENTED to those who may call anything at all, so that a newer client can
// tell it from one that it may not call.
func (g *Guard) Check(ctx context.Context, method string) error {
	p, known := PeerOf(ctx)
	if p.over != nil {
		return p.over
	}
	needs, ruled := g.table[method]
	if known && ruled && needs != davitv1.Access_ACCESS_UNSPECIFIED && p.Access >= needs {
		return nil
	}
	e := &domain.Error{
		Code:    codes.PermissionDenied,
		Reason:  davitv1.ErrorReason_ERROR_REASON_ACCESS_DENIED,
		Op:      "call",
		Subject: method,
		Message: fmt.Sprintf("%s access is needed, %s is granted", Word(needs), Word(p.Access)),
		Detail:  map[string]string{"method": method, "needed": Word(needs), "granted": Word(p.Access)},
	}
	if p.Denied != "" {
		e.Message += ": " + p.Denied
	}
	switch {
	case !known:
		e.Message = "the caller is not known"
	case !ruled && p.Access > davitv1.Access_ACCESS_UNSPECIFIED:
		e.Code, e.Reason = codes.Unimplemented, davitv1.ErrorReason_ERROR_REASON_REQUEST_INVALID
		e.Message = "there is no such method"
	}
	return e
}

// Word is an access as people write it: "no", "read", "operate" or "admin".
func Word(a davitv1.Access) string {
	switch a {
	case davitv1.Access_ACCESS_READ:
		return "read"
	case davitv1.Access_ACCESS_OPERATE:
		return "operate"
	case davitv1.Access_ACCESS_ADMIN:
		return "admin"
	default:
		return "no"
	}
}

// Options are what a server needs to be guarded. The first answers when the head of a call is read; the interceptors
// say the same again at the last place before the service, so that the guard does not hang on one hook of grpc.
func (g *Guard) Options() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.Creds(Credentials()),
		grpc.InTapHandle(func(ctx context.Context, call *tap.Info) (context.Context, error) {
			ctx, err := g.head(ctx, call.FullMethodName)
			if err != nil {
				drop(ctx)
			}
			return ctx, err
		}),
		grpc.ChainUnaryInterceptor(g.unary, unaryTicket),
		grpc.ChainStreamInterceptor(g.stream, streamTicket),
	}
}

// head looks at the head of a call.
func (g *Guard) head(ctx context.Context, method string) (context.Context, error) {
	p, _ := PeerOf(ctx)
	if p.over != nil {
		return ctx, g.limit(ctx, method, p.over)
	}
	if g.Quota != nil {
		if err := g.Quota.spend(p, method); err != nil { // before Denied hears of it, whom nobody can flood so
			return ctx, g.limit(ctx, method, err)
		}
	}
	if err := g.Check(ctx, method); err != nil {
		if g.Denied != nil {
			g.Denied(ctx, method, err)
		}
		return ctx, status(err)
	}
	if g.Quota == nil {
		return ctx, nil
	}
	end, err := g.Quota.begin(p, method, g.urgent(method))
	if err != nil {
		return ctx, g.limit(ctx, method, err)
	}
	return issue(ctx, end), nil
}

// limit refuses a call because of a limit.
func (g *Guard) limit(ctx context.Context, method string, err error) error {
	if g.Limited != nil {
		g.Limited(ctx, method, err)
	}
	return status(err)
}

// urgent tells calls that have a reserve: with them a client finds out what it has done, and ends it.
func (g *Guard) urgent(method string) bool {
	return g.table[method] == davitv1.Access_ACCESS_READ || method == davitv1.DomainService_DestroyDomain_FullMethodName
}

func (g *Guard) unary(ctx context.Context, req any, call *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if err := g.Check(ctx, call.FullMethod); err != nil {
		return nil, status(err)
	}
	return next(ctx, req)
}

func (g *Guard) stream(srv any, ss grpc.ServerStream, call *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if err := g.Check(ss.Context(), call.FullMethod); err != nil {
		return status(err)
	}
	return next(srv, ss)
}

// status puts an error into the form that crosses the wire.
func status(err error) error {
	if err == nil {
		return nil
	}
	return domain.ToStatus(err).Err()
}
