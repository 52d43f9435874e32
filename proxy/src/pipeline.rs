//! The order of the stages. This file alone knows it.

use std::rc::Rc;

use actix_http::{HttpMessage, Request};
use actix_service::{
    IntoServiceFactory, Service, ServiceFactory,
    boxed::{RcService, rc_service},
    fn_service, map_config,
};
use actix_web::{
    Error,
    dev::{AppConfig, ServiceRequest, ServiceResponse},
    middleware::from_fn,
};
use futures_util::future::LocalBoxFuture;

use crate::{
    auth::stage::authenticate,
    downstream::Client,
    forward::forward,
    headers::stage::headers,
    routing::stage::route,
    stage::Stage,
    telemetry::observe::{Observed, observe, open},
    worker::Worker,
};

type Answering = LocalBoxFuture<'static, Result<ServiceResponse<Observed>, Error>>;

/// The App of one worker: what every protocol hands its requests to.
pub struct App {
    pub worker: Rc<Worker>,
    service: RcService<Request, ServiceResponse<Observed>, Error>,
}

impl App {
    /// Builds the stages. An App's routes can be taken once only, so a worker has one for all of
    /// its listeners.
    pub async fn start(worker: Rc<Worker>) -> Result<Self, ()> {
        let service = rc_service(stages(&worker).new_service(()).await?);
        Ok(Self { worker, service })
    }

    /// Answers a request of `from`.
    pub fn call(&self, request: Request, from: Client) -> Answering {
        let record = Rc::new(open(&self.worker, request.head(), from));
        request.extensions_mut().insert(record);
        self.service.call(request)
    }
}

/// The last `wrap` runs first: read the list from below.
fn stages(
    worker: &Rc<Worker>,
) -> impl ServiceFactory<
    Request,
    Config = (),
    Response = ServiceResponse<Observed>,
    Error = Error,
    InitError = (),
> + use<> {
    let (handler, observer) = (Rc::clone(worker), Rc::clone(worker));
    let app = actix_web::App::new()
        .default_service(fn_service(move |request: ServiceRequest| {
            forward(Rc::clone(&handler), request)
        }))
        .wrap(Stage::new(worker, headers))
        .wrap(Stage::new(worker, authenticate))
        .wrap(Stage::new(worker, route))
        .wrap(from_fn(move |request, next| observe(Rc::clone(&observer), request, next)));
    map_config(app.into_factory(), |_| AppConfig::default())
}
