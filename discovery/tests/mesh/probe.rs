use std::time::Duration;
use tokio::time::{sleep, Instant};
use crate::network::Mesh;

#[tokio::test(start_paused = true)]
async fn probe() {
    for phi in [6.0, 6.5, 7.0, 8.0] {
        let mut mesh = Mesh::new();
        mesh.config.phi_threshold = phi;
        let mut ids = Vec::new();
        for n in 0..50 {
            sleep(Duration::from_millis(37)).await;
            ids.push(mesh.start(&format!("node-{n}"), 1).await);
            mesh.greet(ids[n], ids[0]);
        }
        let joined = mesh.until("join", Duration::from_secs(20), |m| m.agree(&ids)).await;
        // flaps
        let began = Instant::now();
        let mut flaps = 0;
        let v0: u64 = ids.iter().map(|i| mesh.map(*i).directory().version()).sum();
        sleep(Duration::from_secs(60)).await;
        let v1: u64 = ids.iter().map(|i| mesh.map(*i).directory().version()).sum();
        flaps += v1 - v0;
        let _ = began;
        let mut took = vec![];
        for k in 0..8 {
            let dead = ids.swap_remove((k * 7) % ids.len());
            mesh.kill(dead);
            took.push(mesh.until("dead", Duration::from_secs(9), |m| m.agree(&ids)).await.as_millis());
            sleep(Duration::from_secs(1)).await;
        }
        println!("phi {phi}: joined {joined:?} changes in 60 s: {flaps}; detect {took:?}");
    }
}
