package cli

import davitv1 "github.com/davitd/davit/proto/davit/v1"

func (a *app) domuuid() command {
	return a.one("domuuid", "convert a domain name or id to domain UUID", "uuid",
		func(d *davitv1.DomainInfo) any { return d.GetUuid() }, (*davitv1.DomainInfo).GetUuid)
}
