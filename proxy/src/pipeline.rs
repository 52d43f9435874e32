//! The order of the stages. This file alone knows it.

use std::rc::Rc;

use actix_http::Request;
use actix_service::{IntoServiceFactory, ServiceFactory, fn_service, map_config};
use actix_web::{
    App, Error,
    dev::{AppConfig, ServiceRequest, ServiceResponse},
    middleware::from_fn,
};

use crate::{
    auth::stage::authenticate,
    forward::forward,
    headers::stage::headers,
    routing::stage::route,
    telemetry::observe::{Observed, observe},
    worker::Worker,
};

/// Wraps a stage so that it gets the worker with each request.
macro_rules! stage {
    ($stage:ident, $worker:expr) => {{
        let worker = Rc::clone($worker);
        from_fn(move |request, next| $stage(Rc::clone(&worker), request, next))
    }};
}

/// The App of one worker. The last `wrap` runs first: read the list from below.
pub fn app(
    worker: &Rc<Worker>,
) -> impl ServiceFactory<
    Request,
    Config = (),
    Response = ServiceResponse<Observed>,
    Error = Error,
    InitError = (),
> + use<> {
    let handler = Rc::clone(worker);
    let app = App::new()
        .default_service(fn_service(move |request: ServiceRequest| {
            forward(Rc::clone(&handler), request)
        }))
        .wrap(stage!(headers, worker))
        .wrap(stage!(authenticate, worker))
        .wrap(stage!(route, worker))
        .wrap(stage!(observe, worker));
    map_config(app.into_factory(), |_| AppConfig::default())
}
