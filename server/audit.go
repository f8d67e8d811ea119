package server

import (
	"context"
	"path/filepath"
	"strings"

	"go.uber.org/zap"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/audit"
	"github.com/davitd/davit/server/auth"
)

// auditFolder is that of the audit log, in the folder of logs.
const auditFolder = "audit"

// openAudit opens the audit log, and the kernel's audit where the configuration wants it and there is one.
func (s *Server) openAudit() error {
	c := s.options.Config
	var err error
	s.audit, err = audit.OpenLog(audit.LogOptions{
		Dir: filepath.Join(c.Paths.Log, auditFolder), MaxFileBytes: c.Audit.MaxFileBytes, MaxFiles: c.Audit.MaxFiles, Logger: s.log,
	})
	if err != nil {
		return err
	}
	if c.Audit.Kernel == "auto" {
		if s.kernel, err = audit.OpenKernel(s.log); err != nil {
			s.log.Info("records go to the audit log alone", zap.Error(err))
		}
	}
	s.recorder = audit.NewRecorder(audit.Options{
		Log: s.audit, Kernel: s.kernel, Caller: recorded, Domains: s.engine,
		Access: func(method string) davitv1.Access { return s.table[method] },
	})
	return nil
}

// maxGroups is how many groups of a caller are recorded.
const maxGroups = 64

// recorded is who calls, for the record.
func recorded(ctx context.Context) (who *davitv1.AuditCaller, identity string) {
	p, known := auth.PeerOf(ctx)
	if !known {
		return &davitv1.AuditCaller{}, ""
	}
	who = &davitv1.AuditCaller{Granted: accessWord(p.Access)}
	if p.Kind == auth.KindTLS {
		who.Certificate = &davitv1.AuditCertificate{Address: p.Address}
		if c := p.Certificate; c != nil {
			who.Certificate.Subject, who.Certificate.Serial, who.Certificate.Fingerprint = c.Subject, c.Serial, c.Fingerprint
		}
		return who, p.Identity()
	}
	who.Process = &davitv1.AuditProcess{
		Uid: p.UID, Gid: p.GID, Groups: p.Groups[:min(len(p.Groups), maxGroups)], Pid: uint32(p.PID), Program: p.Program,
	}
	return who, p.Identity()
}

// accessWord is a right in records.
func accessWord(a davitv1.Access) string {
	if a == davitv1.Access_ACCESS_UNSPECIFIED {
		return "none"
	}
	return strings.ToLower(strings.TrimPrefix(a.String(), "ACCESS_"))
}
