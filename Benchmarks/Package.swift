// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "benchmarks",
    dependencies: [.package(name: "custody", path: "..")],
    targets: [
        .target(name: "CAllocations"),
        .executableTarget(
            name: "ConversionBenchmark",
            dependencies: [
                "CAllocations",
                .product(name: "Custody", package: "custody"),
                .product(name: "CustodyPolicy", package: "custody"),
                .product(name: "CustodyTrace", package: "custody"),
                .product(name: "SimulationBackend", package: "custody"),
            ]
        ),
        .executableTarget(
            name: "AccessBenchmark",
            dependencies: [
                "CAllocations",
                .product(name: "Custody", package: "custody"),
                .product(name: "CustodyPolicy", package: "custody"),
            ]
        ),
    ]
)
