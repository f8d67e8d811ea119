package cli

import davitv1 "github.com/davitd/davit/proto/davit/v1"

func (a *app) domname() command {
	return a.one("domname", "convert a domain id or UUID to domain name", "name",
		func(d *davitv1.DomainInfo) any { return d.GetName() }, (*davitv1.DomainInfo).GetName)
}
