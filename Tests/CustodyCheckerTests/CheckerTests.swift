import CustodyChecker
import CustodyProtocols
import Testing

@Test func smoke() {
    for p in HandoverProtocol.all {
        let r = Checker().check(Configuration("smoke", p, folios: [.mapped], operations: [Operation(.convertToPrivate), Operation(.pin), Operation(.hostUnmap), Operation(.convertToShared)]))
        print(r.summary)
        for (_, v) in r.verdicts.prefix(30) { if let c = v.counterexample { print(c.text) } }
    }
}
