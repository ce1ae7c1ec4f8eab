import CustodyChecker
import CustodyProtocols
import Testing

@Test func smoke() {
    for p in [HandoverProtocol.custody, .version8] {
      for c in Suite.configurations(for: p) {
        let r = Checker().check(c)
        if !r.isProved { print(r.summary)
         for (_, v) in r.verdicts.prefix(30) { if let c = v.counterexample { print(c.text) } } }
      }
    }
    for (p,n) in [(HandoverProtocol, String)]() {
      if let c = Suite.configuration(n, for: p) { let r = Checker().check(c)
         print(r.summary)
         for (_, v) in r.verdicts.prefix(30) { if let c = v.counterexample { print(c.text) } } }
    }
}
