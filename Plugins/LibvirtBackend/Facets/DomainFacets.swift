#if Libvirt
package import Custody

/// What a domain that runs can do beside whole regions: each facet is there or not.
public struct DomainFacets: Sendable {
    /// What its memory is behind.
    public let memory: AdoptedMemory
    /// Its elastic pools.
    public let pools: [ElasticPool]
    /// Its balloon, where it has one.
    public let balloon: Balloon?
    /// Stops it for a moment.
    public let stopTheWorld: StopTheWorld
    /// A look at its memory, where it is known where that is.
    public let inspection: Inspection?

    /// Looks at a domain.
    package init(of domain: borrowing Domain, on connection: borrowing Connection) throws(BackendError) {
        let description = try LiveDescription(of: domain)
        memory = AdoptedMemory(of: description)
        pools = try ElasticPool.all(of: domain, on: connection, in: description)
        balloon = try Balloon.find(in: domain, on: connection, in: description)
        stopTheWorld = StopTheWorld(domain)
        // What the processor encrypts reads as noise, and an unknown machine's RAM cannot be told from nothing.
        let isKnown = (try? GuestMemoryMap(of: description)) != nil && memory.launchSecurity == nil
        inspection = isKnown ? Inspection(domain) : nil
    }

    /// What it can do, one value for each facet that is there.
    public var capabilities: [FacetCapabilities] {
        var all = pools.map(\.capabilities) + [SharedWindow.capabilities]
        if balloon != nil { all.append(Balloon.capabilities) }
        all.append(StopTheWorld.capabilities)
        if inspection != nil { all.append(Inspection.capabilities) }
        if memory.launchSecurity != nil { all.append(LaunchSecurity.capabilities) }
        return all
    }
}

#endif
