//! What `deploy/` and the table of metrics say is so: names of metrics, keys, ports, paths, times.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use deodar::Pdp;
use deodar::config::Config;
use serde_json::Value;
use tower::ServiceExt;

use crate::support::{Tree, block_on, config, deodar, root, run};

fn path(name: &str) -> PathBuf {
    root().join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn yaml(name: &str) -> Value {
    serde_saphyr::from_str(&text(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The families of `/metrics` by name, each with the names of its samples.
fn families() -> Vec<(String, Vec<String>)> {
    let pdp = Pdp::builder()
        .policies_text("p.cedar", "permit(principal, action, resource);")
        .build()
        .unwrap();
    let text = block_on(async {
        let clock = Box::new(deodar::Timestamp::now);
        let (_, ops) = deodar::server::routers(&config(), pdp, clock).unwrap();
        let request = Request::get("/metrics").header("host", "localhost");
        let request = request.body(Body::empty()).unwrap();
        let response = ops.oneshot(request).await.unwrap();
        let body = http_body_util::BodyExt::collect(response.into_body());
        String::from_utf8(body.await.unwrap().to_bytes().to_vec()).unwrap()
    });
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types
        .map(|line| {
            let (name, kind) = line.split_once(' ').unwrap();
            let suffixes: &[&str] = match kind {
                "counter" => &["_total"],
                "histogram" => &["_bucket", "_count", "_sum"],
                "info" => &["_info"],
                _ => &[""],
            };
            let samples = suffixes.iter().map(|suffix| format!("{name}{suffix}"));
            (name.to_owned(), samples.collect())
        })
        .collect()
}

/// The names of metrics in a text.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("deodar_")).collect()
}

#[test]
fn every_metric_that_is_named_exists() {
    let families = families();
    let samples: BTreeSet<_> = families.iter().flat_map(|(_, samples)| samples).collect();
    let names: BTreeSet<_> = families.iter().map(|(family, _)| family).collect();
    let mut files = vec![
        "README.md".to_owned(),
        "deodar.toml".to_owned(),
        "deploy/grafana/deodar.json".to_owned(),
        "deploy/prometheus/alerts.yaml".to_owned(),
    ];
    for file in std::fs::read_dir(path("docs")).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        // The table names families; a test of its own holds it to them.
        if name.ends_with(".md") && name != "metrics.md" {
            files.push(format!("docs/{name}"));
        }
    }
    for file in &files {
        let text = text(file);
        for name in named(&text) {
            let name = name.to_owned();
            // Prose may name a histogram as a whole, a query its samples only.
            let known = samples.contains(&name) || file.ends_with(".md") && names.contains(&name);
            assert!(known, "{file}: {name}");
        }
    }
    assert!(named(&text("deploy/grafana/deodar.json")).len() > 25);
}

#[test]
fn the_table_of_metrics_is_whole() {
    let table = text("docs/metrics.md");
    let documented = named(&table);
    let families = families();
    for (family, samples) in &families {
        let known = samples
            .iter()
            .any(|name| documented.contains(name.as_str()));
        assert!(
            known || documented.contains(family.as_str()),
            "docs/metrics.md does not have {family}"
        );
    }
    for name in documented {
        let known = families
            .iter()
            .any(|(family, samples)| family == name || samples.iter().any(|sample| sample == name));
        assert!(known, "docs/metrics.md has {name}, which does not exist");
    }
}

#[test]
fn the_dashboard_is_whole() {
    let dashboard: Value = serde_json::from_str(&text("deploy/grafana/deodar.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids: Vec<_> = panels.iter().map(|p| p["id"].as_u64().unwrap()).collect();
    ids.dedup();
    assert_eq!(ids.len(), panels.len());
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let title = panel["title"].as_str().unwrap();
        assert!(
            panel["description"].as_str().unwrap().ends_with('.'),
            "{title}"
        );
        for target in panel["targets"].as_array().unwrap() {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
            assert!(target["expr"].as_str().unwrap().contains("$job"), "{title}");
        }
    }
    for group in yaml("deploy/prometheus/alerts.yaml")["groups"]
        .as_array()
        .unwrap()
    {
        for rule in group["rules"].as_array().unwrap() {
            let severity = rule["labels"]["severity"].as_str().unwrap();
            assert!(["info", "warning", "critical"].contains(&severity));
            assert!(rule["annotations"]["runbook"].as_str().unwrap().len() > 80);
            assert!(rule["annotations"]["summary"].is_string());
        }
    }
}

/// Starts no server: prints the configuration, which fails on an unknown key or variable.
#[track_caller]
fn loads(file: &str, variables: &[(String, String)]) {
    let mut command = deodar();
    command.args(["config", "--config", path(file).to_str().unwrap()]);
    let ran = run(command.envs(variables.iter().cloned()));
    assert_eq!(ran.code, 0, "{file}: {}", ran.err);
}

fn variables(assignments: impl Iterator<Item = String>) -> Vec<(String, String)> {
    assignments
        .filter(|text| text.starts_with("DEODAR_") && !text.starts_with("DEODAR_CONFIG="))
        .map(|text| {
            let (name, value) = text.split_once('=').unwrap();
            (name.to_owned(), value.to_owned())
        })
        .collect()
}

fn duration(text: &str) -> Duration {
    Duration::from_secs(text.strip_suffix('s').unwrap().parse().unwrap())
}

/// Memory that a server takes before anybody asks it anything, with policies and entities of usual size.
const BASE: usize = 64 << 20;
/// File descriptors besides connections: those of probes, files, calls to other services.
const OTHER_FILES: usize = 64 + 128;

/// A size such as `512Mi`, `1G` or `512m`.
fn bytes(text: &str) -> usize {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap();
    let (number, unit) = text.split_at(end);
    let shift = match unit.to_ascii_lowercase().as_str() {
        "m" | "mi" => 20,
        "g" | "gi" => 30,
        unit => panic!("{unit}"),
    };
    number.parse::<usize>().unwrap() << shift
}

#[track_caller]
fn fits(memory: &str, config: &Config) {
    let most = deodar::server::most_memory(&config.limits) + BASE;
    assert!(most <= bytes(memory), "{memory} for {} MiB", most >> 20);
}

#[test]
fn memory_and_files_of_the_manifests_are_enough_for_their_limits() {
    for (workload, limits) in [
        ("deployment/deployment.yaml", "deployment/deodar.toml"),
        ("statefulset/statefulset.yaml", "statefulset/deodar.toml"),
    ] {
        let manifest = yaml(&format!("deploy/kubernetes/{workload}"));
        let container = &manifest["spec"]["template"]["spec"]["containers"][0];
        let memory = container["resources"]["limits"]["memory"].as_str().unwrap();
        let file = path(&format!("deploy/kubernetes/{limits}"));
        fits(memory, &Config::load(Some(&file), &[]).unwrap());
    }
    let defaults = config();
    let most_files = defaults.limits.connections + OTHER_FILES;
    let unit = text("deploy/systemd/deodar.service");
    let value = |name: &str| {
        unit.lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap()
    };
    fits(value("#MemoryMax="), &defaults);
    assert!(value("LimitNOFILE=").parse::<usize>().unwrap() >= most_files);
    // The command of the documentation.
    let guide = text("docs/deploy.md");
    let option = |name: &str| {
        let after = guide.split_once(name).unwrap_or_else(|| panic!("{name}")).1;
        after.split_whitespace().next().unwrap().to_owned()
    };
    let image = Config::load(Some(&path("deploy/docker/deodar.toml")), &[]).unwrap();
    fits(&option("--memory "), &image);
    assert!(option("--ulimit nofile=").parse::<usize>().unwrap() >= most_files);
    // A larger limit would not fit: the check can fail.
    let more = Config::load(Some(&path("deploy/docker/deodar.toml")), &[]).unwrap();
    let mut limits = more.limits;
    limits.connections *= 2;
    assert!(deodar::server::most_memory(&limits) + BASE > bytes(&option("--memory ")));
}

#[test]
fn the_unit_of_systemd_fits_the_defaults() {
    let unit = text("deploy/systemd/deodar.service");
    let value = |name: &str| {
        let mut values = unit
            .lines()
            .filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        values.next().unwrap_or_else(|| panic!("{name}"))
    };
    let given = unit
        .lines()
        .filter_map(|line| line.strip_prefix("Environment="));
    let given = variables(given.map(str::to_owned));
    assert_eq!(given.len(), 2);
    // The sample says what the defaults are, as the file in /etc/deodar would.
    loads("deodar.toml", &given);
    let config = Config::load(Some(&path("deodar.toml")), &[]).unwrap();
    let drain = *config.server.drain_delay + *config.server.drain_timeout;
    assert!(duration(value("TimeoutStopSec")) > drain);
    let state = format!("/var/lib/{}", value("StateDirectory"));
    assert!(given.contains(&("DEODAR_STATE_DIR".to_owned(), state)));
    assert!(value("ExecStart").contains(" serve --config /etc/deodar/"));
    assert!(value("ExecReload").contains("-HUP"));
}

/// What the image of the documentation's command would find when it starts: the mounted directories, its own
/// configuration and the variables of the command.
#[test]
fn the_documented_container_loads_the_sample() {
    let guide = text("docs/deploy.md");
    let command = guide.split_once("docker run").unwrap().1;
    let words: Vec<_> = command
        .split("```")
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let after = |option: &'static str| {
        let pairs = words.windows(2).filter(move |pair| pair[0] == option);
        pairs.map(|pair| pair[1].trim_matches('"'))
    };
    let image = Tree::new(&[("deodar.toml", &text("deploy/docker/deodar.toml"))]);
    let mut mounted = 0;
    for volume in after("-v") {
        let (from, to) = volume.strip_suffix(":ro").unwrap().split_once(':').unwrap();
        let from = from.strip_prefix("$PWD/").unwrap();
        let to = to.strip_prefix("/etc/deodar/").unwrap();
        std::os::unix::fs::symlink(path(from), image.join(to)).unwrap();
        mounted += 1;
    }
    assert_eq!(mounted, 3);
    // The policies are complete in themselves: no variable names what they use.
    assert!(after("-e").all(|pair| pair.starts_with("DEODAR_SERVER_")));
    let mut command = deodar();
    command.args([
        "validate",
        "--config",
        image.join("deodar.toml").to_str().unwrap(),
    ]);
    let ran = run(command.envs(after("-e").map(|pair| pair.split_once('=').unwrap())));
    ran.ends(0);
}

#[test]
fn the_image_fits_its_configuration() {
    let file = text("deploy/docker/Dockerfile");
    let words = file
        .split_whitespace()
        .map(|word| word.trim_end_matches('\\').to_owned());
    loads("deploy/docker/deodar.toml", &variables(words));
    let config = Config::load(Some(&path("deploy/docker/deodar.toml")), &[]).unwrap();
    let ops = config.server.ops_listen.unwrap();
    let ports = format!("EXPOSE {} {}", config.server.listen.port(), ops.port());
    assert!(file.lines().any(|line| line == ports), "{ports}");
    assert!(!config.server.listen.ip().is_loopback() && ops.ip().is_unspecified());
    for wanted in [
        "FROM scratch",
        "USER 65532:65532",
        "ENV DEODAR_CONFIG=/etc/deodar/deodar.toml",
        "CMD [\"/usr/local/bin/deodar\", \"health\"]",
    ] {
        assert!(file.contains(wanted), "{wanted}");
    }
    // What cargo needs must be in the context.
    let context = text("deploy/docker/Dockerfile.dockerignore");
    for wanted in [
        "Cargo.toml",
        "Cargo.lock",
        "src",
        "benches",
        "tests",
        "policies",
        "schemas",
    ] {
        assert!(
            context.lines().any(|line| line == format!("!{wanted}")),
            "{wanted}"
        );
    }
}

#[test]
fn the_manifests_fit_their_configuration() {
    check_shape("deployment", "deployment.yaml", "pdp");
    check_shape("statefulset", "statefulset.yaml", "owner");
}

#[track_caller]
fn check_shape(shape: &str, workload: &str, component: &str) {
    let at = |name: &str| format!("deploy/kubernetes/{shape}/{name}");
    let config = Config::load(Some(&path(&at("deodar.toml"))), &[]).unwrap();
    let (listen, ops) = (config.server.listen, config.server.ops_listen.unwrap());
    let manifest = yaml(&at(workload));
    let (spec, labels) = (
        &manifest["spec"],
        &manifest["spec"]["template"]["metadata"]["labels"],
    );
    assert_eq!(&spec["selector"]["matchLabels"], labels);
    assert_eq!(labels["app.kubernetes.io/component"], component);
    let pod = &spec["template"]["spec"];
    let container = &pod["containers"][0];

    let environment = container["env"].as_array().unwrap().iter();
    let environment = environment.map(|v| {
        format!(
            "{}={}",
            v["name"].as_str().unwrap(),
            v["value"].as_str().unwrap()
        )
    });
    loads(&at("deodar.toml"), &variables(environment));

    let port = |name: &str| {
        let mut ports = container["ports"].as_array().unwrap().iter();
        ports.find(|port| port["name"] == name).unwrap()["containerPort"].clone()
    };
    assert_eq!(port("http"), listen.port());
    assert_eq!(port("ops"), ops.port());
    for (probe, path) in [
        ("startupProbe", "/readyz"),
        ("readinessProbe", "/readyz"),
        ("livenessProbe", "/healthz"),
    ] {
        let get = &container[probe]["httpGet"];
        assert_eq!(
            (&get["path"], &get["port"]),
            (&path.into(), &"ops".into()),
            "{probe}"
        );
    }
    let scrape = &spec["template"]["metadata"]["annotations"];
    assert_eq!(scrape["prometheus.io/port"], ops.port().to_string());
    assert_eq!(scrape["prometheus.io/path"], "/metrics");

    let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
    let drain = *config.server.drain_delay + *config.server.drain_timeout;
    assert!(Duration::from_secs(grace) > drain);

    let service = yaml(&at("service.yaml"));
    let name = service["metadata"]["name"].as_str().unwrap();
    assert_eq!(&service["spec"]["selector"], labels);
    assert_eq!(service["spec"]["ports"][0]["port"], listen.port());
    assert!(config.server.hosts.iter().any(|host| host == name));
    assert!(
        config
            .server
            .hosts
            .contains(&format!("{name}.deodar.svc.cluster.local"))
    );

    let network = yaml(&at("networkpolicy.yaml"));
    assert_eq!(&network["spec"]["podSelector"]["matchLabels"], labels);
    let ports: Vec<_> = (0..2)
        .map(|rule| network["spec"]["ingress"][rule]["ports"][0]["port"].clone())
        .collect();
    assert_eq!(ports, [listen.port(), ops.port()]);

    // Every directory that the configuration names is mounted, and every volume is known.
    let mounts = container["volumeMounts"].as_array().unwrap();
    let volumes = pod["volumes"].as_array().unwrap().iter();
    let claims = spec["volumeClaimTemplates"].as_array();
    let claims = claims.into_iter().flatten().map(|claim| &claim["metadata"]);
    let volumes: Vec<_> = volumes
        .chain(claims)
        .map(|volume| &volume["name"])
        .collect();
    assert!(mounts.iter().all(|mount| volumes.contains(&&mount["name"])));
    let read = config.sources.policies.iter().chain(&config.sources.schema);
    for dir in read.chain(&config.state.dir) {
        assert!(
            mounts
                .iter()
                .any(|m| m["mountPath"] == *dir.to_str().unwrap()),
            "{dir:?}"
        );
    }
    assert_eq!(claims_state(spec), config.state.dir.is_some());

    let kustomization = yaml(&at("kustomization.yaml"));
    for resource in kustomization["resources"].as_array().unwrap() {
        yaml(&at(resource.as_str().unwrap()));
    }
    let generated = kustomization["configMapGenerator"].as_array().unwrap();
    for volume in pod["volumes"].as_array().unwrap() {
        let Some(name) = volume["configMap"]["name"].as_str() else {
            continue;
        };
        let map = generated.iter().find(|map| map["name"] == name).unwrap();
        for file in map["files"].as_array().unwrap() {
            assert!(path(&at(file.as_str().unwrap())).is_file());
        }
    }

    let security = &container["securityContext"];
    assert_eq!(security["readOnlyRootFilesystem"], true);
    assert_eq!(security["allowPrivilegeEscalation"], false);
    assert_eq!(security["capabilities"]["drop"][0], "ALL");
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(
        pod["securityContext"]["seccompProfile"]["type"],
        "RuntimeDefault"
    );

    let policies = path(&at("policies"));
    let policies = policies.to_str().unwrap();
    let ran = run(deodar().args(["validate", "--policies", policies, "--schema", policies]));
    ran.ends(0);
}

fn claims_state(spec: &Value) -> bool {
    spec["volumeClaimTemplates"].is_array()
}
