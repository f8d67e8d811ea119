package server

import (
	"context"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/auth"
)

// operates tells whether a caller may act on domains, and so be shown the secrets of their definitions.
func operates(ctx context.Context) bool {
	p, known := auth.PeerOf(ctx)
	return known && p.Access >= davitv1.Access_ACCESS_OPERATE
}
